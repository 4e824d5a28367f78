//! What people and programs send.
