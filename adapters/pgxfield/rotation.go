package pgxfield

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealfield/sealfield/internal/pgsql"
	"github.com/sealfield/sealfield/keyring"
)

// RotationState is how far a column is on its way to a new key.
type RotationState string

// The states. What leads from one to the next is said at Rotation.
const (
	// Steady: one key is in use. Keyring.Rotate begins.
	Steady RotationState = "steady"
	// Waiting: there is a new key, which some processes may not know yet.
	Waiting RotationState = "waiting"
	// Rewriting: rows are written with the new key, and those under older keys
	// have to be written anew.
	Rewriting RotationState = "rewriting"
)

// Rotation is where a column stands whose values can not be read under any key
// but theirs: an index column, or one with token=siv. It holds the SQL of the
// next steps and does nothing by itself. At every moment Match and Search find all
// rows, and with unique= no duplicate gets in.
//
//  1. Steady: Keyring.Rotate with the scope, and purpose Index (Token for siv).
//  2. Waiting, until Until: the time of the keyring's PropagationDelay. Give clocks a
//     few seconds more.
//  3. Rewriting: in a transaction, select a page with Rewrite, collect its rows,
//     and write each anew by Update and Args. Commit, and go on until Remaining
//     counts no rows. With unique=, somebody who writes a duplicate meanwhile can make
//     it a deadlock (SQLSTATE 40P01): repeat the transaction.
//  4. Execute Fence, one by one. From then on the database refuses rows under Old,
//     as a transaction could still write that began before step 2, or a process
//     that is cut off from the keyring's store. The last statement fails if there
//     is such a row: then repeat step 3.
//  5. When all columns of all tables are so far, for they share the keys of their
//     scope: Keyring.MarkCompromised and then Keyring.Destroy for each of Old, with
//     the sum of all Remaining as DestroyOptions.Count. (Keyring.Suspend would make
//     Match fail meanwhile.) The columns are Steady again. Unfence drops the CHECK,
//     which can also stay. Only then rotate again.
type Rotation struct {
	State RotationState
	New   keyring.KeyID   // what rows are, or will be, under
	Old   []keyring.KeyID // what they have to leave; none if Steady
	Until time.Time       // when Waiting ends, by the store's clock

	// Remaining counts the rows that are only under Old.
	Remaining string
	// Rewrite selects a page of these and locks them, without those that are
	// locked. Its argument $1 is the most rows of the page.
	Rewrite string
	// Update writes a row anew, with Args. It writes all columns that belong
	// together.
	Update string
	// Fence adds a CHECK that refuses such rows, and validates it.
	Fence []string
	// Unfence drops it.
	Unfence []string
}

// Rotation tells where the column stands for the scope of In. The column is that
// of an index, or one with token=siv. It reads the keyring's store, and nothing
// of the table, which needs Config.RowKey.
func (t *Table[T]) Rotation(ctx context.Context, column string) (Rotation, error) {
	r, err := t.table.rotation(ctx, column, t.scope)
	if err != nil {
		return r, fmt.Errorf("pgxfield: %s: rotation: %w", t.table.label(column), err)
	}
	return r, nil
}

func (t *table) rotation(ctx context.Context, column, scope string) (r Rotation, err error) {
	if len(t.key) == 0 {
		return r, errNoRowKey
	}
	target := keyring.Target{Scope: scope, Purpose: keyring.Index}
	of, unique, element := []*sealed(nil), "", quote(column)
	if s := t.names[column].sealed; s != nil && s.siv != nil {
		target.Purpose, of = keyring.Token, []*sealed{s}
	} else {
		x, err := t.indexOf(column)
		if err != nil {
			return r, err
		}
		column, unique, of = x.column, x.unique, x.of
		if element = quote(column); x.array() {
			element += "[1]" // all of a row are under one key
		}
	}
	keys, err := t.keyring.Keys(ctx, target)
	if err != nil {
		return r, err
	}
	keys = slices.DeleteFunc(keys, func(k keyring.KeyInfo) bool { return k.State == keyring.Destroyed })
	if len(keys) == 0 {
		return Rotation{State: Steady}, nil
	}
	if unique != "" {
		keys = pairOf(keys)
	}
	old, next := keys[:len(keys)-1], keys[len(keys)-1]
	r = Rotation{State: Steady, New: next.ID}
	if len(old) == 0 {
		return r, nil
	}
	r.State = Rewriting
	if next.State == keyring.Pending {
		r.State, r.Until = Waiting, next.ActivateAt
	}
	for _, k := range old {
		r.Old = append(r.Old, k.ID)
	}
	left := under(element, r.Old...)
	if unique != "" {
		odd, even := quote(column), quote(unique)
		if keys[0].Version%2 == 0 {
			odd, even = even, odd
		}
		left = fmt.Sprintf("%s and (%s) is not true", under(odd, r.Old...), under(even, r.New))
	}
	t.setSQL(&r, column, left, of)
	return r, nil
}

// pairOf returns the one or two keys of token.Index.TagPair.
func pairOf(keys []keyring.KeyInfo) []keyring.KeyInfo {
	pair := keys[:1:1]
	other := slices.IndexFunc(keys, func(k keyring.KeyInfo) bool { return k.Version%2 != keys[0].Version%2 })
	if other >= 0 {
		pair = append(pair, keys[other])
	}
	return pair
}

// under returns the condition that what is in a column is under one of the keys.
func under(column string, ids ...keyring.KeyID) string {
	all := make([]string, len(ids))
	for i, id := range ids {
		from := append([]byte{1}, id.Bytes()...)
		to := binary.BigEndian.AppendUint64(nil, 1<<32+uint64(id)+1)[3:] // 02 after 01ffffffff
		all[i] = fmt.Sprintf(`%[1]s operator(pg_catalog.>=) '\x%[2]x'::pg_catalog.bytea and %[1]s operator(pg_catalog.<) '\x%[3]x'::pg_catalog.bytea`, column, from, to)
	}
	return "(" + strings.Join(all, " or ") + ")"
}

// setSQL fills in the statements about the rows that are left.
func (t *table) setSQL(r *Rotation, column, left string, of []*sealed) {
	var order, where []string
	for _, k := range t.key {
		order = append(order, quote(k.column))
		where = append(where, fmt.Sprintf("%s operator(pg_catalog.=) @%s", quote(k.column), k.column))
	}
	table := t.name.Sanitize()
	r.Remaining = fmt.Sprintf("select pg_catalog.count(*) from %s where %s", table, left)
	r.Rewrite = fmt.Sprintf("select %s from %s where %s order by %s limit $1 for update skip locked", t.readColumns(), table, left, strings.Join(order, ", "))
	var set []string
	for _, column := range t.together(of) {
		set = append(set, fmt.Sprintf("%s = @%s", quote(column), column))
	}
	r.Update = fmt.Sprintf("update %s set %s where %s", table, strings.Join(set, ", "), strings.Join(where, " and "))
	name := "not_under_" + r.Old[len(r.Old)-1].String()
	r.Fence = pgsql.AddCheck(t.name, column, name, fmt.Sprintf("not (%s)", left))
	r.Unfence = []string{fmt.Sprintf("alter table %s drop constraint if exists %s", table, quote(pgsql.ObjectName(t.name, column, name)))}
}

// together returns all columns that a statement has to write if it writes one of
// these.
func (t *table) together(of []*sealed) []string {
	all := make(map[*sealed]bool)
	for _, s := range of {
		all[s] = true
	}
	for n := 0; n < len(all); {
		n = len(all)
		for _, x := range t.compound() {
			if slices.ContainsFunc(x.of, func(s *sealed) bool { return all[s] }) {
				for _, s := range x.of {
					all[s] = true
				}
			}
		}
	}
	var columns []string
	for _, s := range t.sealed {
		if all[s] {
			columns = append(append(columns, s.column), s.companions()...)
		}
	}
	for _, x := range t.compound() {
		if all[x.of[0]] {
			columns = append(columns, x.tagColumns()...)
		}
	}
	return columns
}
