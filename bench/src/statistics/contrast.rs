//! The rule that decides: the mean of paired differences by replicate and user, both of them drawn at random.
//!
//! A replicate is what a second laboratory would draw again (training subset, initial values, data order), a user is one of many who could
//! have been asked. The differences are therefore a two-way random model, `D[r, u] = mean + replicate[r] + user[u] + rest[r, u]`, and the
//! variance of their mean is estimated from the mean squares of a two-way analysis of variance, with the degrees of freedom of
//! F. E. Satterthwaite, Biometrics Bulletin 2 (1946), 110. With few replicates that alone is too bold where the replicates differ little by
//! chance, so that the plain t test over replicate means must agree: p is the larger of the two, an interval the wider.

use super::{ALPHA, Interval, student};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The level of the intervals that equivalence is read from: both of its one-sided tests are at [`ALPHA`].
pub const EQUIVALENCE_ALPHA: f64 = 2.0 * ALPHA;

/// What paired differences say about their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The mean over replicates and users.
    pub mean: f64,
    /// How many replicates.
    pub replicates: usize,
    /// How many users.
    pub users: usize,
    /// The standard error of the mean in the two-way model; absent with a single replicate or user.
    pub standard_error: Option<f64>,
    /// Its degrees of freedom; absent where there is no spread either.
    pub freedom: Option<f64>,
    /// The standard error of the mean from the replicate means alone; absent with a single replicate or user.
    pub replicate_error: Option<f64>,
    /// The two-sided p-value: the larger of the two tests'. Absent where no test can be made.
    pub p: Option<f64>,
    /// The p-value in the two-way model.
    pub p_two_way: Option<f64>,
    /// The p-value of the t test over replicate means; absent where these are all the same.
    pub p_replicates: Option<f64>,
    /// The 95 % interval: the wider of the two.
    pub interval: Option<Interval>,
    /// The 90 % interval likewise, which equivalence is read from.
    pub interval_90: Option<Interval>,
    /// A 95 % interval over users alone: it holds for these replicates ("these adapters only") and decides nothing.
    pub users_only: Option<Interval>,
    /// The standard deviations of the model.
    pub components: Option<Components>,
}

/// The standard deviations of the two-way model; an estimate below 0 of a variance is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Components {
    /// Between replicates.
    pub replicate: f64,
    /// Between users.
    pub user: f64,
    /// What is left: users within replicates.
    pub residual: f64,
}

impl Contrast {
    /// The interval of level 1 − `alpha`: the wider of the two.
    #[must_use]
    pub fn interval_at(&self, alpha: f64) -> Option<Interval> {
        let two_way = match self.freedom {
            Some(freedom) => self.standard_error? * student::critical(alpha, freedom),
            // Without any spread.
            None => self.standard_error?,
        };
        let over_replicates = match self.replicate_error? {
            0.0 => 0.0,
            error => error * student::critical(alpha, (self.replicates - 1) as f64),
        };
        Some(Interval::around(self.mean, two_way.max(over_replicates)))
    }
}

/// The rule, for paired differences `differences[replicate][user]`.
///
/// A row that is the same in every replicate counts for each of them: the caller repeats it.
///
/// # Errors
/// Where there is nothing, where replicates differ in their number of users, or where a difference is no finite number.
pub fn contrast<D: AsRef<[f64]>>(differences: &[D]) -> Result<Contrast> {
    Ok(TwoWay::of(differences)?.contrast())
}

/// The three mean squares of a two-way layout, each divided by the number of its cells: what it adds to the variance of the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoWay {
    /// The mean of all differences.
    pub mean: f64,
    /// How many replicates; with one, `replicate` and `residual` are 0 and mean nothing.
    pub replicates: usize,
    /// How many users; with one, `user` and `residual` are 0 and mean nothing.
    pub users: usize,
    /// The mean square between replicates over the number of cells: the squared standard error of the mean over replicates.
    pub replicate: f64,
    /// The mean square between users over the number of cells: the squared standard error of the mean over users.
    pub user: f64,
    /// The residual mean square over the number of cells.
    pub residual: f64,
    /// The degrees of freedom of `user`: one less than the users, or than those of the smallest scenario of an average.
    pub user_freedom: f64,
}

impl TwoWay {
    /// The mean squares of `differences[replicate][user]`.
    ///
    /// # Errors
    /// As [`contrast`].
    pub fn of<D: AsRef<[f64]>>(differences: &[D]) -> Result<Self> {
        let (replicates, users) = shape(differences)?;
        let rows: Vec<&[f64]> = differences.iter().map(AsRef::as_ref).collect();
        // Everything is measured from the first replicate and the first user. What is the same everywhere then leaves exactly 0, and
        // rounding cannot pass for spread: that of a row that is the same in all replicates, or of two rows that agree.
        let first = rows[0];
        let origin = first[0];
        let mut shifts = vec![0.0; replicates];
        let mut sum = 0.0;
        for (user, &base) in first.iter().enumerate() {
            let mut of_user = 0.0;
            for (shift, row) in shifts.iter_mut().zip(&rows) {
                let difference = row[user] - base;
                *shift += difference;
                of_user += difference;
            }
            sum += base - origin + of_user / replicates as f64;
        }
        shifts.iter_mut().for_each(|shift| *shift /= users as f64);
        let shift = super::mean(&shifts);
        let mean = sum / users as f64;

        let (mut between_users, mut rest) = (0.0, 0.0);
        for (user, &base) in first.iter().enumerate() {
            let of_user = rows.iter().map(|row| row[user] - base).sum::<f64>() / replicates as f64;
            between_users += (base - origin + of_user - mean).powi(2);
            for (row, of_replicate) in rows.iter().zip(&shifts) {
                rest += (row[user] - base - of_user - of_replicate + shift).powi(2);
            }
        }
        let between_replicates: f64 = shifts.iter().map(|value| (value - shift).powi(2)).sum();
        let (s, u) = (replicates as f64, users as f64);
        let over = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        Ok(Self {
            mean: origin + mean,
            replicates,
            users,
            replicate: over(between_replicates, s * (s - 1.0)),
            user: over(between_users, u * (u - 1.0)),
            residual: over(rest, s * (s - 1.0) * u * (u - 1.0)),
            user_freedom: u - 1.0,
        })
    }

    fn tested(&self) -> bool {
        self.replicates > 1 && self.user_freedom > 0.0
    }

    /// The squared standard error of the mean, and its degrees of freedom: at least those of the replicates.
    fn error(&self) -> (f64, f64) {
        let rest = self.residual;
        // A mean square below the residual one is so by chance: no effect has a negative variance.
        let (a, b) = (self.replicate.max(rest), self.user.max(rest));
        let variance = a + b - rest;
        let of_replicates = (self.replicates - 1) as f64;
        let satterthwaite = variance * variance
            / (a * a / of_replicates
                + b * b / self.user_freedom
                + rest * rest / (of_replicates * self.user_freedom));
        (variance, satterthwaite.max(of_replicates))
    }

    /// The p-values of the two tests: in the two-way model, and over replicate means.
    #[must_use]
    pub fn p_values(&self) -> (Option<f64>, Option<f64>) {
        if !self.tested() {
            return (None, None);
        }
        let (variance, freedom) = self.error();
        let test = |variance: f64, freedom: f64| {
            (variance > 0.0).then(|| student::two_sided_p(self.mean / variance.sqrt(), freedom))
        };
        (
            test(variance, freedom),
            test(self.replicate, (self.replicates - 1) as f64),
        )
    }

    /// The rule's p-value: the larger of the two.
    #[must_use]
    pub fn p(&self) -> Option<f64> {
        let (two_way, over_replicates) = self.p_values();
        // Replicate means without spread leave the other test alone, which is then the larger: p falls to 0 as their spread does.
        two_way.map(|p| over_replicates.map_or(p, |other| p.max(other)))
    }

    /// Half the rule's interval of level 1 − `alpha`: the mean differs from 0 at this level where it is beyond.
    ///
    /// `over_replicates` is [`student::critical`] of `alpha` and the replicates less one, which many layouts share.
    #[must_use]
    pub fn half_width(&self, alpha: f64, over_replicates: f64) -> f64 {
        let (variance, freedom) = self.error();
        let two_way = variance.sqrt() * student::critical(alpha, freedom);
        two_way.max(self.replicate.sqrt() * over_replicates)
    }

    /// All that can be said.
    #[must_use]
    pub fn contrast(&self) -> Contrast {
        let (p_two_way, p_replicates) = self.p_values();
        let error = self.tested().then(|| self.error());
        let users_only = (self.user_freedom > 0.0).then(|| {
            let half = self.user.sqrt() * student::critical(ALPHA, self.user_freedom);
            Interval::around(self.mean, half)
        });
        let (s, u) = (self.replicates as f64, self.users as f64);
        let mut contrast = Contrast {
            mean: self.mean,
            replicates: self.replicates,
            users: self.users,
            standard_error: error.map(|(variance, _)| variance.sqrt()),
            freedom: error
                .filter(|(variance, _)| *variance > 0.0)
                .map(|(_, freedom)| freedom),
            replicate_error: self.tested().then(|| self.replicate.sqrt()),
            p: self.p(),
            p_two_way,
            p_replicates,
            interval: None,
            interval_90: None,
            users_only,
            components: self.tested().then(|| Components {
                replicate: (s * (self.replicate - self.residual)).max(0.0).sqrt(),
                user: (u * (self.user - self.residual)).max(0.0).sqrt(),
                residual: (s * u * self.residual).sqrt(),
            }),
        };
        contrast.interval = contrast.interval_at(ALPHA);
        contrast.interval_90 = contrast.interval_at(EQUIVALENCE_ALPHA);
        contrast
    }
}

/// The number of replicates and of users.
pub(super) fn shape<D: AsRef<[f64]>>(differences: &[D]) -> Result<(usize, usize)> {
    let users = differences.first().map_or(0, |row| row.as_ref().len());
    ensure!(
        users > 0,
        "there are no paired differences: a contrast needs at least one replicate and one user"
    );
    for (replicate, row) in differences.iter().enumerate() {
        let row = row.as_ref();
        ensure!(
            row.len() == users,
            "replicate {replicate} has {} users and replicate 0 has {users}: differences are paired by user",
            row.len()
        );
        if let Some(user) = row.iter().position(|value| !value.is_finite()) {
            anyhow::bail!(
                "the difference of user {user} in replicate {replicate} is {}: metrics are finite numbers",
                row[user]
            );
        }
    }
    Ok((differences.len(), users))
}
