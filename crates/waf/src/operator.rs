//! The operators that need neither patterns nor phrases: numbers, strings, addresses, encodings and check digits. Which
//! rule asks, and what follows, is never known here.
