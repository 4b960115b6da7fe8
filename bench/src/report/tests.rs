//! Claims about whole reports, on a small study made by hand.
