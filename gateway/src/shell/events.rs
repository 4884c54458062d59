//! Server-sent events, taken out of the bytes of a stream.

use bytes::BytesMut;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StreamEvent {
    /// Its id; a stream resumes behind it.
    pub id: Option<String>,
    /// Its data, lines joined.
    pub data: String,
}

/// Collects bytes until events are whole; lines end with LF, CR LF or CR.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    bytes: BytesMut,
    event: StreamEvent,
    has_data: bool,
}

/// A stream that holds no end of a line for this long is no stream of events.
#[derive(Debug, thiserror::Error)]
#[error("the stream of events has a line of more than {LINE_BYTES_MAX} bytes")]
pub(super) struct LineTooLong;

impl EventReader {
    /// Takes bytes and returns the events that are whole by now.
    ///
    /// # Errors
    /// When a line has no end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<StreamEvent>, LineTooLong> {
        self.bytes.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line = self.bytes.split_to(end + 1);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.take(&String::from_utf8_lossy(line), &mut events);
        }
        if self.bytes.len() > LINE_BYTES_MAX {
            return Err(LineTooLong);
        }
        Ok(events)
    }

    fn take(&mut self, line: &str, events: &mut Vec<StreamEvent>) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            "id" => self.event.id = Some(value.to_owned()),
            // A comment, the name of the event, which its data tells too, or what a newer gateway says besides.
            _ => {}
        }
    }
}

/// A status with every board in trouble has a few kilobytes.
const LINE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let text =
            b": hello\n\nid: 7\nevent: state\ndata: {\"a\":\ndata: 1}\n\nid:8\r\ndata:x\r\n\r\nretry: 5\n\ndata: cut";
        for size in 1..=text.len() {
            let mut reader = EventReader::default();
            let mut events = Vec::new();
            for chunk in text.chunks(size) {
                events.extend(reader.push(chunk).unwrap());
            }
            let events: Vec<_> = events
                .iter()
                .map(|event| (event.id.as_deref(), event.data.as_str()))
                .collect();
            assert_eq!(events, [(Some("7"), "{\"a\":\n1}"), (Some("8"), "x")], "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let mut reader = EventReader::default();
        assert!(reader.push(&vec![b'x'; LINE_BYTES_MAX]).is_ok());
        assert!(reader.push(b"x").is_err());
    }
}
