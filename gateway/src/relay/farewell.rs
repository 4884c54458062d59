//! The code of a Close that was passed on, for the access log: the one payload of a stream that is looked into.

use handover_protocol::close::CloseCode;
use handover_protocol::frame::{Event, Limits, Opcode, Scanner, unmask};

/// Reads the code of the Close that ends within `bytes`, which begin where `scanner` stands; nothing where a part of it
/// came before.
#[cold]
pub(super) fn code_of(limits: &Limits, mut scanner: Scanner, bytes: &[u8]) -> Option<CloseCode> {
    let mut rest = bytes;
    let mut key = None;
    let mut is_whole = false;
    while let Ok(advance) = scanner.advance(limits, rest) {
        let (passed, behind) = rest.split_at(advance.consumed);
        match advance.event {
            Some(Event::Header(header)) if header.opcode == Opcode::Close => {
                key = header.mask;
                is_whole = true;
            }
            Some(Event::FrameEnd {
                opcode: Opcode::Close, ..
            }) => {
                return is_whole.then(|| code_in(passed, key));
            }
            Some(Event::Header(_) | Event::FrameEnd { .. }) => {}
            None => return None,
        }
        rest = behind;
    }
    None
}

/// Reads the code out of a Close's payload; a Close without one is a 1005 (RFC 6455 section 7.1.5).
fn code_in(payload: &[u8], key: Option<[u8; 4]>) -> CloseCode {
    let Some(code) = payload.first_chunk::<2>() else {
        return NO_CODE;
    };
    let mut code = *code;
    if let Some(key) = key {
        unmask(key, 0, &mut code);
    }
    CloseCode::new(u16::from_be_bytes(code))
}

const NO_CODE: CloseCode = CloseCode::new(1005);

#[cfg(test)]
mod tests {
    use handover_protocol::frame::{Sender, encode, encode_close};

    use super::*;

    fn code(sender: Sender, stream: &[u8]) -> Option<u16> {
        code_of(&Limits::default(), Scanner::new(sender), stream).map(CloseCode::get)
    }

    #[test]
    fn the_code_of_a_close_is_read_behind_messages_masked_or_not() {
        for (sender, key) in [(Sender::Client, Some([7, 8, 9, 10])), (Sender::Server, None)] {
            let mut stream = Vec::new();
            encode(Opcode::Text, b"last words", key, &mut stream);
            assert_eq!(code(sender, &stream), None);
            encode_close(CloseCode::new(4001), "kicked", key, &mut stream);
            assert_eq!(code(sender, &stream), Some(4001));
        }
    }

    #[test]
    fn a_close_without_a_code_is_1005_and_one_of_which_a_part_is_missing_is_unknown() {
        let mut stream = Vec::new();
        encode(Opcode::Close, b"", Some([1, 2, 3, 4]), &mut stream);
        assert_eq!(code(Sender::Client, &stream), Some(1005));
        let mut stream = Vec::new();
        encode_close(CloseCode::NORMAL, "bye", None, &mut stream);
        assert_eq!(code(Sender::Server, &stream[..3]), None);
    }
}
