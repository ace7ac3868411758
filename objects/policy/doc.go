// Package policy is Amazon's policy language as S3 has it: a text is parsed and
// compiled once, and decides about questions without allocating.
//
//	text ──Parse──▶ Policy ◀──Decide── Question{action, bucket, key, principal, conditions}
//	                  │                     └──▶ Effect and the statement that it comes from
//	                  └──Public, Names, Principals: what the text is, whoever asks
//
// A statement applies where its action, its resource, its principal and all of
// its conditions match. Of the statements that apply, one that denies counts
// before all that allow. What several policies mean together is not decided here.
//
// Where the documentation leaves a choice:
//
//   - A condition on a key with several values, without ForAllValues or
//     ForAnyValue, holds if one of the values matches; a negated one, if none does.
//   - A variable that has no value and no default matches nothing: neither in a
//     resource nor in a condition, and a negated condition on it holds.
//   - In a bucket policy a resource with wildcards in the bucket's name is taken
//     where it matches the bucket.
//   - An element that is there twice is refused: of two readers of the text, one
//     would take the first and the other the last.
//   - Deny with NotPrincipal spares exactly who is named; who names a user need
//     not name its account as well.
//
// Promise: a text that cannot be understood whole is refused, with the place; none
// is understood in part.
//
// Source: Amazon IAM user guide, "Policy reference" (elements, condition
// operators, variables, evaluation logic); Amazon S3 user guide, "Policies and
// permissions", "Blocking public access"; service authorization reference, S3.
//
// Start with Parse, then Decide, then condition.go.
package policy
