//! What recipes are expanded under: how many prompts a domain has, and how many of them an adapter may see.

/// What there is of a domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supply {
    /// Its training prompts.
    pub prompts: usize,
    /// Mean tokens of one.
    pub tokens: f64,
}

/// What recipes are expanded under.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// The most prompts that a domain gives to an adapter of the paper.
    pub cap: usize,
    /// What there is of each domain, by name.
    pub supply: &'a dyn Fn(&str) -> Supply,
}

impl Budget<'_> {
    /// The prompts that a domain gives to an adapter of the paper: as many as it has, up to the cap.
    pub fn share(&self, domain: &str) -> usize {
        (self.supply)(domain).prompts.min(self.cap)
    }
}
