// Package plan says what an index would give away, before it is built or by what
// is in it, and what fewer bits would cost.
//
//	advice, err := plan.Plan(1_000_000, 990_000, 0.0001)  // rows, different values, share of the commonest
//	report, err := plan.Measure(counts)                   // how often each value occurs
//	err = report.Check(plan.Limits{})                     // in a test: a gate
//
// Counts come from the clear column (Count normalizes and counts values), or from
// an index column: equal tags are equal values, so nothing has to be decrypted:
//
//	select count(*) from customers where email_idx is not null group by email_idx
//
// (during a rotation, of one key: and substring(email_idx from 2 for 4) = '\x...').
// A sample of the rows will do: a share s is then right to about sqrt(s/n) for n
// rows, but different values are missed, so that the sample looks less unique
// than the table.
//
// What decides is the commonest value. Whoever knows how common the values are,
// from a census or last year's breach, sorts them, sorts the tags, and reads one
// against the other: rank matching, after Naveed, Kamara and Wright, "Inference
// Attacks on Property-Preserving Encrypted Databases" (CCS 2015). Where no value
// has more than a hundredth of the rows that yields next to nothing, and an Exact
// index of 128 bits is right. Where one has more, an index gives values away,
// and fewer bits do not mend it: they hide rare values among each other, while
// the common ones stand out as before. Leave such a column without an index, or
// put it into a Compound with one that is nearly unique.
//
// Fewer bits have a use where values are rare: a tag that several values share
// does not prove that one of them is there. Two rules say how many bits, and Plan
// gives both. CipherSweet (Paragon Initiative, FieldIndexPlanner) counts rows and
// wants from 2 to sqrt(rows) of them on a tag. The AWS Database Encryption SDK
// (its chapter on beacon lengths) counts different values, of which it wants from
// 2 to sqrt(values) on a tag. They disagree where values repeat. AWS's own
// examples round up where the rule says less: it names 16 bits for 100,000
// values and 39 for 10^12, and the rule gives 15 and 38, as Plan does.
package plan
