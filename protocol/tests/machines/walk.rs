//! A breadth-first walk over every state of a model, which tells the shortest way to a fault.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::hash::Hash;

/// Every state that a model can reach, and what leads from one to the next.
pub(crate) struct Graph<S, L> {
    pub(crate) states: Vec<S>,
    edges: Vec<Vec<(L, usize)>>,
    parents: Vec<Option<(usize, L)>>,
}

/// What may happen in a state: a name for it, and the state that follows or the rule it breaks.
pub(crate) type Steps<S, L> = Vec<(L, Result<S, String>)>;

impl<S: Clone + Eq + Hash + Debug, L: Clone + Debug> Graph<S, L> {
    /// Visits every state; fails with the shortest way to a rule that is broken.
    pub(crate) fn walk(starts: impl IntoIterator<Item = S>, steps: impl Fn(&S) -> Steps<S, L>) -> Self {
        let mut graph = Self {
            states: Vec::new(),
            edges: Vec::new(),
            parents: Vec::new(),
        };
        let mut known = HashMap::new();
        for start in starts {
            known.insert(start.clone(), graph.states.len());
            graph.states.push(start);
            graph.parents.push(None);
        }
        let mut at = 0;
        while at < graph.states.len() {
            let mut edges = Vec::new();
            for (label, next) in steps(&graph.states[at]) {
                let next = match next {
                    Ok(next) => next,
                    Err(rule) => panic!("{rule}\n{}", graph.way_to(at, &label)),
                };
                let to = match known.entry(next) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        graph.states.push(new.key().clone());
                        graph.parents.push(Some((at, label.clone())));
                        *new.insert(graph.states.len() - 1)
                    }
                };
                edges.push((label, to));
            }
            graph.edges.push(edges);
            at += 1;
        }
        graph
    }

    /// Checks that a final state can be reached from everywhere.
    pub(crate) fn can_end(&self, is_final: impl Fn(&S) -> bool) {
        let mut before = vec![Vec::new(); self.states.len()];
        for (from, edges) in self.edges.iter().enumerate() {
            for (_, to) in edges {
                before[*to].push(from);
            }
        }
        let mut ends = vec![false; self.states.len()];
        let mut next: Vec<_> = (0..self.states.len())
            .filter(|at| is_final(&self.states[*at]))
            .collect();
        while let Some(at) = next.pop() {
            if !std::mem::replace(&mut ends[at], true) {
                next.extend(&before[at]);
            }
        }
        if let Some(stuck) = ends.iter().position(|ends| !ends) {
            panic!("this never ends:\n{}", self.way_to(stuck, "…"));
        }
    }

    /// Checks that no sequence of the steps that `counts` goes round for ever.
    pub(crate) fn has_no_loop(&self, counts: impl Fn(&S, &L, &S) -> bool) {
        let edges: Vec<Vec<usize>> = self
            .edges
            .iter()
            .enumerate()
            .map(|(from, edges)| {
                edges
                    .iter()
                    .filter(|(label, to)| counts(&self.states[from], label, &self.states[*to]))
                    .map(|(_, to)| *to)
                    .collect()
            })
            .collect();
        let mut incoming = vec![0_usize; self.states.len()];
        edges.iter().flatten().for_each(|to| incoming[*to] += 1);
        let mut next: Vec<_> = (0..self.states.len()).filter(|at| incoming[*at] == 0).collect();
        let mut sorted = 0;
        while let Some(at) = next.pop() {
            sorted += 1;
            for to in &edges[at] {
                incoming[*to] -= 1;
                if incoming[*to] == 0 {
                    next.push(*to);
                }
            }
        }
        if sorted < self.states.len() {
            let on_loop = incoming.iter().position(|count| *count > 0).unwrap();
            panic!("this goes round for ever:\n{}", self.way_to(on_loop, "…"));
        }
    }

    fn way_to(&self, state: usize, then: impl Debug) -> String {
        let mut way = vec![format!("{:#?}\n  then {then:?}", self.states[state])];
        let mut at = state;
        while let Some((from, label)) = &self.parents[at] {
            way.push(format!("  {label:?}"));
            at = *from;
        }
        way.reverse();
        way.join("\n")
    }
}
