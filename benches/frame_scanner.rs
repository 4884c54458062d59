//! Measures the frame scanner.
fn main() {
    divan::main();
}
