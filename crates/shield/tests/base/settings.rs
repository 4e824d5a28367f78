//! Settings, exclusions and answers.
