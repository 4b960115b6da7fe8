//! Random numbers by name: the same key and stream give the same draws on every machine and any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Draws {
    source: ChaCha8Rng,
    spare: Option<f64>,
}

impl Draws {
    /// The stream of this number under this key.
    #[must_use]
    pub fn new(key: &str, stream: u64) -> Self {
        let mut source = ChaCha8Rng::from_seed(*blake3::hash(key.as_bytes()).as_bytes());
        source.set_stream(stream);
        Self { source, spare: None }
    }

    /// Uniform between 0 and 1, neither of them included.
    pub fn uniform(&mut self) -> f64 {
        ((self.source.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A whole number below `count`, which is small beside 2^32.
    pub fn below(&mut self, count: usize) -> usize {
        // Multiply-shift: its bias is count / 2^32.
        ((u64::from(self.source.next_u32()) * count as u64) >> 32) as usize
    }

    /// Standard normal, by G. Marsaglia's polar method.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 {
                let scale = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Chi-squared with so many degrees of freedom, at least one: G. Marsaglia and W. W. Tsang, ACM Transactions on Mathematical
    /// Software 26 (2000), 363.
    pub fn chi_squared(&mut self, freedom: f64) -> f64 {
        if freedom < 2.0 {
            // Their method begins at two degrees; fewer are a share of two more.
            return self.chi_squared(freedom + 2.0) * self.uniform().powf(2.0 / freedom);
        }
        let d = freedom / 2.0 - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return 2.0 * d * v;
            }
        }
    }
}
