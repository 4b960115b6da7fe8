//! Segments that come after the same rows, such as the candidates after a prompt: a head looks at those rows once for all of them.

use std::ops::Range;

use super::{Attention, BLOCK, Segment, Work, softmax};
use crate::op::buffer::Buffer;
use crate::op::gemm::{View, gemm};

/// Segments one after another, and how many of their first runs of rows outside are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub segments: Range<usize>,
    pub shared: usize,
}

/// Whether two segments begin after the same rows, and how many runs of them.
fn shared(a: &Segment, b: &Segment) -> usize {
    if a.context != b.context {
        return 0;
    }
    let runs = a.after.iter().zip(&b.after).take_while(|(a, b)| a == b);
    usize::from(!a.context.is_empty()) + runs.filter(|(run, _)| !run.is_empty()).count()
}

/// Groups of segments with as many rows as are taken at one time, or of one segment.
pub(super) fn groups(segments: &[Segment]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut rows = 0;
    for (i, segment) in segments.iter().enumerate() {
        rows += segment.rows.len();
        if let Some(Group {
            segments: held,
            shared: runs,
        }) = groups.last_mut()
        {
            let here = shared(&segments[held.start], segment);
            // The second one decides what is shared, and no other may share less.
            if rows <= BLOCK && here > 0 && (held.len() == 1 || here >= *runs) {
                *runs = if held.len() == 1 { here } else { *runs };
                held.end += 1;
                continue;
            }
        }
        rows = segment.rows.len();
        groups.push(Group {
            segments: i..i + 1,
            shared: 0,
        });
    }
    groups
}

impl Attention {
    /// The output of one head on the segments of a group, `(rows, width)`: for every row the same sums as segment by segment.
    pub(super) fn output_of_group(&self, works: &[Work], shared: usize) -> Buffer {
        let width = self.heads.width;
        let rows = works.iter().map(|work| work.rows).sum();
        let columns = works.iter().map(|work| work.seen + work.rows).max().unwrap_or(0);
        let mut p = Buffer::stale(rows * columns);
        let mut out = Buffer::stale(rows * width);
        let first = &works[0];
        for (column, (k, _)) in first.runs().take(shared) {
            gemm(
                &mut p[column..],
                columns,
                0.0,
                self.scale,
                first.q.reaching(rows),
                k.t(),
            );
        }
        let mut top = 0;
        for work in works {
            let p = &mut p[top * columns..(top + work.rows) * columns];
            for (column, (k, _)) in work.runs().skip(shared) {
                gemm(&mut p[column..], columns, 0.0, self.scale, work.q, k.t());
            }
            gemm(&mut p[work.seen..], columns, 0.0, self.scale, work.q, work.k.t());
            softmax(p, columns, work.seen, self.window);
            let own = View::strided(&p[work.seen..], work.rows, work.rows, columns);
            gemm(&mut out[top * width..], width, 0.0, 1.0, own, work.v);
            top += work.rows;
        }
        for (column, (_, v)) in first.runs().take(shared) {
            let over_run = View::strided(&p[column..], rows, v.size().0, columns);
            gemm(&mut out, width, 1.0, 1.0, over_run, *v);
        }
        top = 0;
        for work in works {
            for (column, (_, v)) in work.runs().skip(shared) {
                let over_run = View::strided(&p[top * columns + column..], work.rows, v.size().0, columns);
                gemm(&mut out[top * width..], width, 1.0, 1.0, over_run, *v);
            }
            top += work.rows;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(rows: Range<usize>, after: &[Range<usize>]) -> Segment {
        Segment {
            rows,
            context: 0..0,
            after: after.to_vec(),
        }
    }

    #[test]
    fn candidates_of_one_prompt_are_a_group_and_prompts_are_none() {
        // As for one prompt alone, where nothing is shared.
        let (nothing, prompt, other) = (0..0, 0..30, 30..50);
        let segments = [
            segment(0..30, std::slice::from_ref(&nothing)),
            segment(30..50, std::slice::from_ref(&nothing)),
            // A title that two others go on from.
            segment(50..53, &[nothing.clone(), prompt.clone()]),
            segment(53..55, &[nothing.clone(), prompt.clone(), 50..53]),
            segment(55..56, &[nothing.clone(), prompt.clone(), 50..53]),
            segment(56..110, &[nothing.clone(), prompt.clone()]),
            segment(110..150, &[nothing.clone(), prompt]),
            segment(150..151, &[nothing, other]),
        ];
        let found = groups(&segments);
        let group = |segments, shared| Group { segments, shared };
        assert_eq!(
            found,
            [
                group(0..1, 0),
                group(1..2, 0),
                group(2..6, 1),
                group(6..7, 0),
                group(7..8, 0)
            ]
        );
    }
}
