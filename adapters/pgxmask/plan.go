package pgxmask

import (
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/mask"
)

// Config says what is exported and under which keys.
type Config struct {
	// Policy names the tables and says what becomes of each of their columns.
	// Required.
	Policy *mask.Policy

	// Keyring has the Masking keys. Required.
	Keyring *keyring.Keyring

	// Scope is the tenant whose Masking keys are used, for a keyring with Scoped
	// set; else it is empty.
	Scope string
}

// Plan is what NewPlan has proven can be copied: run it, or read its report. It does
// not change and is safe for concurrent use.
type Plan struct {
	database string
	policy   *mask.Policy
	check    string   // mask.Masker.Check of the keys
	tables   []*table // an order in which they can be loaded: references go to earlier ones where there is no cycle
}

// table is a table of the copy. Those that are skipped are not among them.
type table struct {
	schema, name string
	kind         byte     // pg_class.relkind: r, or p of which the leaves are copied
	columns      []column // by attnum; generated columns are not copied and not here
	rows         float64  // an estimate, at least 0
	pages        int64    // relpages, for chunks by ctid
	bytes        int64    // an estimate of its size in text
	subject      string   // the column of mask.Row.Subject, or empty
	where        string   // a condition in SQL that rows of a subset fulfil, or empty
	masks        *mask.Table
}

// column is a column of a table that is copied.
type column struct {
	name    string
	typ     string     // as format_type has it
	oid     uint32     // of the type; of its base type for a domain
	notNull bool       // of the column or its domain
	rule    *mask.Rule // nil if the column is kept
	keep    string     // why it is kept
}
