//! Starts the processes that the end-to-end tests need.
