// Package store has the rows that the other packages use.
package store

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"
)

// Customer is a row with sealed columns.
type Customer struct {
	ID    int64     `db:"id"`
	Name  string    `db:"name"`
	Email string    `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	SSN   *string   `db:"ssn" seal:"encrypt"`
	Born  time.Time `db:"born" seal:"encrypt,type=date"`
	PAN   string    `db:"pan" seal:"token=pan,key=pan_key"`
	Tags  []string  `db:"tags" seal:"encrypt"`
}

// Member embeds what is sealed.
type Member struct {
	ID int64 `db:"id"`
	Contact
}

// Contact is embedded.
type Contact struct {
	Phone string `db:"phone" seal:"encrypt"`
}

// Place is sealed as a whole.
type Place struct {
	Address Street   `db:"address" seal:"encrypt,type=address"`
	Point   [2]int64 `db:"point" seal:"encrypt"`
}

// Street is the value of a column.
type Street struct {
	City string
}

// Page holds rows of any type.
type Page[T any] struct {
	Rows []T
	Next int
}

// Plain has tags of others.
type Plain struct {
	ID   int64  `db:"id"`
	Name string `db:"name" seal:"wax"`
	Left string `db:"-" seal:"encrypt"`
}

// Quiet formats itself, for fmt and for logs.
type Quiet struct {
	Email string `db:"email" seal:"encrypt"`
}

func (Quiet) Format(f fmt.State, _ rune)   { fmt.Fprint(f, "quiet") }
func (Quiet) LogValue() slog.Value         { return slog.StringValue("quiet") }
func (Quiet) MarshalJSON() ([]byte, error) { return json.Marshal("quiet") }
func (Quiet) Value() (driver.Value, error) { return nil, errors.New("quiet") }
func (q *Quiet) Scan(any) error            { return nil }

// Logged has only what slog asks for.
type Logged struct {
	Email string `db:"email" seal:"encrypt"`
}

func (Logged) LogValue() slog.Value { return slog.StringValue("logged") }

// Named has only what fmt asks for in most verbs.
type Named struct {
	Email string `db:"email" seal:"encrypt"`
}

func (Named) String() string { return "named" }

// ByPointer formats itself only as a pointer.
type ByPointer struct {
	Email string `db:"email" seal:"encrypt"`
}

func (*ByPointer) Format(f fmt.State, _ rune) { fmt.Fprint(f, "pointer") }

// Secret is a type for fields that formats itself.
type Secret string

func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, "secret") }
func (Secret) String() string               { return "secret" }
func (Secret) LogValue() slog.Value         { return slog.StringValue("secret") }
func (Secret) MarshalText() ([]byte, error) { return []byte("secret"), nil }

// Address is a type for fields whose String is the value itself.
type Address string

func (a Address) String() string { return string(a) }

// Account has fields of both types.
type Account struct {
	Secret  Secret  `db:"secret" seal:"encrypt"`
	Address Address `db:"address" seal:"encrypt"`
}

// Vault has a field that formats itself, and nothing else that is sealed.
type Vault struct {
	ID     int64  `db:"id"`
	Secret Secret `db:"secret" seal:"encrypt"`
}

// Pointers has only fields of which fmt prints addresses.
type Pointers struct {
	SSN *string `db:"ssn" seal:"encrypt" json:"-"`
}

// Tree, Lists and Loop are made of themselves.
type Tree struct {
	Left, Right *Tree
	All         []Tree
	Email       string `db:"email" seal:"encrypt"`
	Lists       Lists  `db:"lists" seal:"encrypt"`
}

type (
	Lists []Lists
	Loop  *Loop
)

// Ring embeds itself and nothing else.
type Ring struct{ *Ring }

// Rings has a column of such.
type Rings struct {
	Ring  Ring   `db:"ring" seal:"encrypt"`
	Other Ring   `db:"other"`
	Email string `db:"email" seal:"encrypt"`
	*Rings
}

// Numbers has a sealed number.
type Numbers struct {
	Age int `db:"age" seal:"encrypt"`
}

// Hushed is a type for fields that only logs redact.
type Hushed string

func (Hushed) LogValue() slog.Value { return slog.StringValue("hushed") }

// Amounts has fields of types that have one of the methods of Secret, or its own use
// of them.
type Amounts struct {
	Hushed Hushed   `db:"hushed" seal:"encrypt"`
	Sum    *big.Int `db:"sum" seal:"encrypt"`
}
