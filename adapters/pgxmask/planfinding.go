package pgxmask

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is what a Finding is about.
type Kind string

const (
	// Policy and database differ: a table or column that one of them does not
	// have.
	Unknown Kind = "unknown"
	// A kind of object that can not be copied: a view, a foreign table.
	Unsupported Kind = "unsupported"
	// Rights that are missing, and row-level security that would hide rows.
	Rights Kind = "rights"
	// A rule whose results the column's type can not hold.
	Type Kind = "type"
	// Sampled values that a rule refuses, or whose results the type does.
	Values Kind = "values"
	// Results that may be longer than the column's type allows.
	Length Kind = "length"
	// NULL, where a column or its domain has none.
	NotNull Kind = "not null"
	// A primary key, UNIQUE or unique index that may be broken.
	Unique Kind = "unique"
	// An exclusion constraint that may be broken.
	Exclusion Kind = "exclusion"
	// A CHECK, of a table or a domain, that may be broken.
	Check Kind = "check"
	// A reference whose two ends may differ.
	ForeignKey Kind = "foreign key"
	// Rows that may belong to another partition than before, or to none.
	Partition Kind = "partition"
	// Large objects, which are in no table.
	LargeObjects Kind = "large objects"
	// Text of the schema that has values of a masked column, or may have a password.
	SchemaText Kind = "schema text"
	// Config.Subset, where a condition is no SQL of its table.
	Subset Kind = "subset"
	// Config.Sealed and the table or the policy differ.
	Sealing Kind = "sealing"
	// Config.Accept, or Config.References, and what they are about differ.
	Unused Kind = "unused"
)

// Finding is a reason why a plan stops. It holds no value of a row.
type Finding struct {
	Kind       Kind
	Table      string // as in a policy, or empty if it is about the whole database
	Column     string // or empty if it is about the table
	Object     string // the constraint, index, domain, type or other that it is about, or empty
	Line       int    // of the policy, or 0
	Reason     string
	Suggestion string // or empty
}

func (f *Finding) Error() string {
	var b strings.Builder
	b.WriteString("pgxmask: ")
	if f.Line > 0 {
		fmt.Fprintf(&b, "policy line %d: ", f.Line)
	}
	b.WriteString(f.Where())
	b.WriteString(": " + f.Reason)
	if f.Suggestion != "" {
		b.WriteString("; " + f.Suggestion)
	}
	return b.String()
}

// Where names what the finding is about: table.column (constraint or other object).
func (f *Finding) Where() string {
	where := cmp.Or(f.Table, "the database")
	if f.Column != "" {
		where += "." + quotePart(f.Column)
	}
	if f.Object != "" {
		where += " (" + f.Object + ")"
	}
	return where
}

// Warning is what somebody should look at. It stops no plan, and holds no value of a row.
type Warning struct {
	Table  string // as in a policy
	Column string // or empty
	Reason string
}

func (w Warning) String() string {
	if w.Column == "" {
		return w.Table + ": " + w.Reason
	}
	return w.Table + "." + quotePart(w.Column) + ": " + w.Reason
}

type findings []*Finding

// err joins all, in the order of tables.
func (f findings) err() error {
	slices.SortStableFunc(f, func(a, b *Finding) int { return strings.Compare(a.Table, b.Table) })
	errs := make([]error, len(f))
	for i, one := range f {
		errs[i] = one
	}
	return errors.Join(errs...)
}
