//! Boards over the real registry, without servers and clients.

use std::path::Path;

use handover_protocol::Owner;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::config::route::{BOUNCE_COUNT_MAX, BounceBound};
use crate::registry::EmbeddedRegistry;
use crate::session::Arrival;
use crate::telemetry::Metrics;
use crate::upstream::Servers;

struct House {
    boards: Arc<Boards>,
    route: Arc<Route>,
    /// Records that somebody holds, dropped or not.
    held: Mutex<Vec<Arc<Board>>>,
    _folder: TempDir,
}

fn house(placements: Vec<(BoardId, Placement)>) -> House {
    let text = "[listen]\ntraffic = [\"127.0.0.1:1\"]\nadmin = \"127.0.0.1:2\"\n[registry]\nfile = \"r.db\"\n\
         [releases]\ncurrent = \"r1\"\n[[servers]]\nname = \"s0\"\nurl = \"http://127.0.0.1:3\"\nrelease = \"r1\"\n\
         [[routes]]\nname = \"boards\"\nboard = { path = \"/b/{board}/**\" }\n";
    let (config, _) = Config::parse(text, Path::new("handover.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new(&config.metrics).unwrap());
    let boards = Boards::new(
        placements,
        Servers::new(&config.servers, &config.limits, &metrics),
        Arc::new(EmbeddedRegistry::open(&folder.path().join("r.db")).unwrap()),
        "gateway-1".parse().unwrap(),
        metrics,
        Placer::new(config.releases.current.clone(), TaskTracker::new()),
        TaskTracker::new(),
    );
    House {
        boards,
        route: Arc::clone(&config.routes[0]),
        held: Mutex::default(),
        _folder: folder,
    }
}

fn server(number: u8) -> ServerName {
    format!("s{number}").parse().unwrap()
}

fn owner(number: u8) -> Owner {
    Owner {
        server: server(number),
        incarnation: None,
    }
}

fn id(number: u8) -> BoardId {
    format!("b{number}").parse().unwrap()
}

/// What happens to one of a few boards.
#[derive(Debug, Clone, Copy)]
enum Change {
    Grant(u8),
    Settle,
    Begin(u8),
    Commit,
    Abort,
    Seize(u8),
    Raise(u8),
    Vacate,
    ReadBack,
}

fn changes() -> impl Strategy<Value = Vec<(u8, Change)>> {
    let change = prop_oneof![
        (0u8..3).prop_map(Change::Grant),
        Just(Change::Settle),
        Just(Change::Settle),
        (0u8..3).prop_map(Change::Begin),
        Just(Change::Commit),
        Just(Change::Abort),
        (0u8..3).prop_map(Change::Seize),
        (0u8..3).prop_map(Change::Raise),
        Just(Change::Vacate),
        Just(Change::ReadBack),
    ];
    proptest::collection::vec((0u8..4, change), 1..60)
}

impl House {
    async fn make(&self, board: u8, change: Change) {
        let board = self.boards.find(&id(board)).await.unwrap();
        let (before, coordinator) = (board.placement(), "gateway-1".parse().unwrap());
        let next = match change {
            Change::Grant(to) => before.grant(owner(to), Generation::NONE, coordinator),
            Change::Settle => before.settle(),
            Change::Begin(to) => before.begin(owner(to), coordinator),
            Change::Commit => before.commit(),
            Change::Abort => before.abort(),
            Change::Seize(to) => before.seize(owner(to), Generation::NONE, coordinator),
            Change::Raise(to) => before.raise(owner(to), Generation::NONE),
            Change::Vacate => {
                self.boards.vacate(&board).await;
                return self.held.lock().unwrap().push(board);
            }
            Change::ReadBack => {
                let held = self.held.lock().unwrap().clone();
                for board in held.iter().chain([&board]) {
                    self.boards.read_back(board).await.unwrap();
                }
                return;
            }
        };
        if let Ok(next) = next {
            self.boards.change(&board, next).await.unwrap();
        }
    }

    fn walk(&self, number: u8) -> Held {
        let mut held = Held::default();
        for board in self.boards.all() {
            let placement = board.placement();
            held.owned += usize::from(board.owner() == Some(server(number)));
            let standby = matches!(&placement.term, Term::Moving { target, .. } if target.server == server(number));
            held.standby += usize::from(standby);
        }
        held
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_a_server_holds_is_counted_as_a_walk_would_count_it(changes in changes()) {
        let granted = Placement::UNKNOWN.grant(owner(2), Generation::NONE, "gateway-0".parse().unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let house = house(vec![(id(9), granted)]);
            for (board, change) in changes {
                house.make(board, change).await;
                for number in 0..3 {
                    let held = house.boards.held().get(&server(number)).copied().unwrap_or_default();
                    assert_eq!(held, house.walk(number), "{change:?}");
                    let listed = house.boards.open(Some(&server(number)));
                    assert_eq!(listed.len(), house.walk(number).owned, "{change:?}");
                    assert!(listed.iter().all(|view| view.server == Some(server(number))));
                }
            }
        });
    }
}

#[tokio::test]
async fn a_board_remembers_when_its_users_were_told_also_beyond_its_record() {
    let house = house(Vec::new());
    house.make(1, Change::Grant(0)).await;
    house.make(1, Change::Settle).await;
    let board = house.boards.find(&id(1)).await.unwrap();
    let bound = house.route.bounce;
    let unbound = BounceBound {
        limit: Duration::ZERO,
        ..bound
    };
    assert_eq!(board.bounce_left(bound), None, "nobody was told yet");
    board.note_told(bound);
    assert!(board.bounce_left(bound).is_some_and(|left| left <= bound.limit));
    assert_eq!(board.bounce_left(unbound), None);
    house.boards.vacate(&board).await;
    assert!(house.boards.get(&id(1)).is_none());
    house.boards.tidy_memories();
    for _ in 0..2 {
        // Also beyond a record that nobody came by to.
        house.make(1, Change::Grant(0)).await;
        house.make(1, Change::Settle).await;
        let again = house.boards.find(&id(1)).await.unwrap();
        assert!(again.bounce_left(bound).is_some());
        house.boards.vacate(&again).await;
        assert!(house.boards.get(&id(1)).is_none());
        house.boards.tidy_memories();
    }
}

#[tokio::test]
async fn a_plain_request_does_not_change_the_route_that_sessions_came_by() {
    let house = house(Vec::new());
    house.make(1, Change::Grant(0)).await;
    house.make(1, Change::Settle).await;
    let peer = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
    let enter = async |purpose, name| {
        let route = Arc::new(Route::new(name, house.route.board.clone()));
        let entrant = Entrant { purpose, peer };
        drop(
            house
                .boards
                .enter(&route, &id(1), entrant)
                .await
                .unwrap_or_else(|error| panic!("{error}")),
        );
        let board = house.boards.get(&id(1)).unwrap();
        board.route().unwrap().name.to_string()
    };
    assert_eq!(enter(Purpose::Request, "plain").await, "plain", "nobody else has come");
    assert_eq!(enter(Purpose::Session, "sockets").await, "sockets");
    assert_eq!(enter(Purpose::Request, "plain").await, "sockets");
    assert_eq!(enter(Purpose::Session, "others").await, "others");
}

#[tokio::test]
async fn boards_from_before_a_restart_count_as_told() {
    let granted = Placement::UNKNOWN.grant(owner(0), Generation::NONE, "gateway-0".parse().unwrap());
    let house = house(vec![(id(1), granted.unwrap())]);
    let board = house.boards.get(&id(1)).unwrap();
    let bound = BounceBound {
        count: BOUNCE_COUNT_MAX,
        ..house.route.bounce
    };
    assert!(
        board.bounce_left(bound).is_some(),
        "how often they were told nobody knows"
    );
    assert!(board.move_left(Duration::from_secs(60)).is_some());
    assert_eq!(board.move_left(Duration::ZERO), None);
}

#[tokio::test]
async fn users_may_be_told_by_as_many_moves_as_the_count_says_within_the_limit() {
    let house = house(Vec::new());
    house.make(1, Change::Grant(0)).await;
    house.make(1, Change::Settle).await;
    let board = house.boards.find(&id(1)).await.unwrap();
    let bound = |count| BounceBound {
        limit: Duration::from_mins(10),
        count,
    };
    for moves in 1..=3 {
        house.make(1, Change::Begin(1)).await;
        for _ in 0..5 {
            // Many users, one move.
            board.note_told(bound(3));
        }
        house.make(1, Change::Abort).await;
        for count in 1..=3 {
            let is_put_off = board.bounce_left(bound(count)).is_some();
            assert_eq!(is_put_off, moves >= count, "{count} allowed, {moves} told");
        }
    }
    let spent = board.bounce_left(bound(3)).unwrap();
    assert!(
        spent <= board.bounce_left(bound(1)).unwrap(),
        "the oldest of them falls out first"
    );
}

#[tokio::test]
async fn a_board_remembers_when_it_was_moved_also_beyond_its_record() {
    let house = house(Vec::new());
    let interval = Duration::from_mins(10);
    house.make(1, Change::Grant(0)).await;
    house.make(1, Change::Settle).await;
    let board = house.boards.find(&id(1)).await.unwrap();
    assert_eq!(board.move_left(interval), None);
    board.note_moved(interval);
    assert!(board.move_left(interval).is_some_and(|left| left <= interval));
    house.boards.vacate(&board).await;
    house.boards.tidy_memories();
    let again = house.boards.find(&id(1)).await.unwrap();
    assert!(!Arc::ptr_eq(&board, &again));
    assert!(again.move_left(interval).is_some());
}

#[tokio::test]
async fn a_server_can_have_counted_whoever_was_there_while_it_was_asked() {
    let house = house(Vec::new());
    let board = house.boards.find(&id(1)).await.unwrap();
    let arrival = Arrival::now("boards".into(), [127, 0, 0, 1].into());
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let check = |here: &[u64], ended: &[(u64, u64)], expected| {
        {
            let mut inner = board.lock();
            inner.sessions.clear();
            for (number, since) in here.iter().enumerate() {
                let name: SessionId = format!("s{number}").parse().unwrap();
                let handle = SessionHandle::new(name.clone(), arrival.clone(), "a".parse().unwrap());
                let since = at(*since);
                inner.sessions.insert(name, Present { handle, since });
            }
            let ended = ended.iter().map(|(since, until)| Ended {
                id: "e".parse().unwrap(),
                since: at(*since),
                passed: 0,
                generation: Generation::NONE,
                parted_at: at(*until),
                at: at(*until),
            });
            inner.ended = ended.collect();
        }
        assert_eq!(board.attendance(at(100), at(101)), expected, "{here:?} {ended:?}");
    };
    check(&[], &[], 0..=0);
    check(&[10, 20], &[], 2..=2);
    check(&[10, 100, 101, 102], &[], 1..=4);
    check(&[110], &[], 0..=0);
    check(&[10], &[(10, 50)], 1..=1);
    check(&[10], &[(10, 99)], 1..=2);
    check(&[10], &[(10, 120)], 2..=2);
    check(&[], &[(99, 105)], 0..=1);
    check(&[10, 20], &[(10, 120)], 3..=3);
    {
        let inner = board.lock();
        inner.sessions.values().next().unwrap().handle.note_parting();
    }
    // `start` was now: long before the list, and still here.
    assert_eq!(board.attendance(at(100), at(101)), 2..=3);
    board.lock().ended[0].parted_at = at(50);
    assert_eq!(board.attendance(at(100), at(101)), 1..=3);
}

#[tokio::test]
async fn boards_that_clients_invent_and_no_server_takes_leave_nothing_behind() {
    let house = house(Vec::new());
    let entrant = Entrant {
        purpose: Purpose::Session,
        peer: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    for number in 0..50 {
        let refused = house.boards.enter(&house.route, &id(number), entrant).await;
        assert!(matches!(refused, Err(EntryError::Place(_))));
    }
    for board in house.boards.all() {
        house.boards.drop_vacant(&board);
        assert!(board.is_gone());
    }
    assert_eq!(house.boards.all().len(), 0);
    let refused = house.boards.enter(&house.route, &id(0), entrant).await;
    assert!(matches!(refused, Err(EntryError::Place(_))), "it is looked up anew");
}

#[tokio::test]
async fn the_record_of_a_board_that_is_owned_stays() {
    let granted = Placement::UNKNOWN.grant(owner(0), Generation::NONE, "gateway-1".parse().unwrap());
    let house = house(vec![(id(1), granted.unwrap())]);
    let board = house.boards.get(&id(1)).unwrap();
    house.boards.drop_vacant(&board);
    assert!(!board.is_gone());
    assert_eq!(house.boards.all().len(), 1);
}

#[tokio::test]
async fn pages_of_any_size_make_up_the_whole_list() {
    let settled = |number: u8| {
        let granted = Placement::UNKNOWN.grant(owner(number % 2), Generation::NONE, "gateway-1".parse().unwrap());
        (id(number), granted.unwrap().settle().unwrap())
    };
    let house = house((0..25).map(settled).collect());
    for server in [None, Some(server(1)), Some(server(7))] {
        let whole = house.boards.open(server.as_ref());
        for limit in [1, 2, 7, 12, 13, 24, 25, 26] {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let (page, next) = house.boards.page(server.as_ref(), after.as_ref(), limit);
                assert!(page.len() <= limit && (next.is_none() || page.len() == limit));
                pages.extend(page);
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, whole, "by {limit} of {server:?}");
        }
    }
}

#[tokio::test]
async fn that_no_server_takes_a_board_is_told_once_for_each_cause_and_then_seldom() {
    let granted = Placement::UNKNOWN.grant(owner(0), Generation::NONE, "gateway-1".parse().unwrap());
    let house = house(vec![(id(1), granted.unwrap())]);
    let board = house.boards.get(&id(1)).unwrap();
    let no_heir = PlaceError::NoHeir { server: server(0) };
    let down = PlaceError::OwnerDown { server: server(0) };
    let now = Instant::now();
    assert!(board.complains_anew(&no_heir, now));
    assert!(!board.complains_anew(&no_heir, now + COMPLAINT_INTERVAL / 2));
    assert!(board.complains_anew(&down, now + COMPLAINT_INTERVAL / 2));
    assert!(!board.complains_anew(&down, now + COMPLAINT_INTERVAL));
    assert!(board.complains_anew(&down, now + COMPLAINT_INTERVAL * 2));
    board.withdraw_complaint();
    assert!(board.complains_anew(&down, now + COMPLAINT_INTERVAL * 2));
}
