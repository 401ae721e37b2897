package pgxfield

import (
	"context"
	"reflect"
	"slices"

	"github.com/sealfield/sealfield/keyring"
)

// scopeSet finds the scopes among rows that are new to it.
type scopeSet struct {
	seen map[string]bool
	text []byte
}

const maxScopes = 4096 // that are remembered

// add appends the scope of a row, if it has one and it is new, to list.
func (s *scopeSet) add(t *table, list []string, row reflect.Value) []string {
	var ok bool
	s.text, ok = t.scopeOf.appendText(s.text[:0], row)
	if !ok || s.seen[string(s.text)] {
		return list
	}
	if s.seen == nil || len(s.seen) == maxScopes {
		s.seen = make(map[string]bool)
	}
	scope := string(s.text)
	s.seen[scope] = true
	return append(list, scope)
}

// preloadRows loads what keys of the rows' scopes are not in memory, together.
// What is wrong with one of them is said when a value needs it.
func preloadRows[T any](ctx context.Context, t *Table[T], s *scopeSet, rows []T, purposes []keyring.Purpose) {
	if t.table.scopeOf == nil || t.scope != "" {
		return // one scope, whose keys are loaded once in any case
	}
	var scopes []string
	for i := range rows {
		scopes = s.add(t.table, scopes, reflect.ValueOf(&rows[i]).Elem())
	}
	if len(scopes) == 0 {
		return
	}
	for _, p := range purposes {
		t.table.keyring.Preload(ctx, p, scopes...)
	}
}

// purposes returns the purposes of the keys that open the plan's columns.
func (p *readPlan) purposes() (all []keyring.Purpose) {
	for _, target := range p.sealed {
		if purpose := target.purpose(); !slices.Contains(all, purpose) {
			all = append(all, purpose)
		}
	}
	return all
}

// purpose returns the purpose of the keys that s is sealed with.
func (s *sealed) purpose() keyring.Purpose {
	if s.siv != nil || s.token != nil {
		return keyring.Token
	}
	return keyring.Encryption
}
