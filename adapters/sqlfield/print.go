package sqlfield

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// What is printed of a Sealed or a Tag names its column, and nothing else. The methods
// are the whole of it for fmt, slog, encoding/json and encoding/xml; encoding/gob
// refuses both types, and deep printers find a ciphertext, or a func.

func (v Sealed[T, C]) text() string { return "sqlfield.Sealed(" + title[C](coreOf[T, C]()) + ")" }

// String returns the name of the column, as everything does that prints a Sealed.
func (v Sealed[T, C]) String() string { return v.text() }

// GoString implements fmt.GoStringer.
func (v Sealed[T, C]) GoString() string { return v.text() }

// Format implements fmt.Formatter.
func (v Sealed[T, C]) Format(f fmt.State, _ rune) { io.WriteString(f, v.text()) }

// LogValue implements slog.LogValuer.
func (v Sealed[T, C]) LogValue() slog.Value { return slog.StringValue(v.text()) }

// MarshalText implements encoding.TextMarshaler, for JSON and XML too.
func (v Sealed[T, C]) MarshalText() ([]byte, error) { return []byte(v.text()), nil }

// UnmarshalText refuses all text: what MarshalText wrote is lost, and what did not
// come from there would be plaintext.
func (v *Sealed[T, C]) UnmarshalText([]byte) error { return errUnmarshal }

var errUnmarshal = errors.New("sqlfield: sealed values are not read from text: use Of")

func (t Tag[T, X]) text() string { return "sqlfield.Tag(" + t.title() + ")" }

// String returns the name of the column, as everything does that prints a Tag.
func (t Tag[T, X]) String() string { return t.text() }

// GoString implements fmt.GoStringer.
func (t Tag[T, X]) GoString() string { return t.text() }

// Format implements fmt.Formatter.
func (t Tag[T, X]) Format(f fmt.State, _ rune) { io.WriteString(f, t.text()) }

// LogValue implements slog.LogValuer.
func (t Tag[T, X]) LogValue() slog.Value { return slog.StringValue(t.text()) }

// MarshalText implements encoding.TextMarshaler, for JSON and XML too.
func (t Tag[T, X]) MarshalText() ([]byte, error) { return []byte(t.text()), nil }

// UnmarshalText refuses all text.
func (t *Tag[T, X]) UnmarshalText([]byte) error { return errUnmarshal }
