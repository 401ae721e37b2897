package slogfield_test

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// builder makes nested values of bytes.
type builder struct {
	data  []byte
	name  string // of each person
	plain bool   // nothing that prints otherwise when redacted
}

func (b *builder) next(n int) int {
	if len(b.data) == 0 {
		return 0
	}
	c := int(b.data[0])
	b.data = b.data[1:]
	return c % n
}

func (b *builder) value(depth int) any {
	p := person{ID: b.next(256), Name: b.name}
	if depth > 6 || len(b.data) == 0 {
		return p
	}
	inner := func() any { return b.value(depth + 1) }
	makers := []func() any{
		func() any { return p },
		func() any { return &p },
		func() any { return box[*person]{&p} },
		func() any { return "text" },
		func() any { return p.ID },
		func() any { return nil },
		func() any { return []any{inner(), inner()} },
		func() any { return [2]any{inner(), 1} },
		func() any { return map[string]any{"a": inner(), "b": inner()} },
		func() any { return map[int]any{1: inner()} },
		func() any { return open{inner()} },
		func() any { return ptr(inner()) },
		func() any { return &box[open]{open{inner()}} },
		func() any { return []person{p, p} },
		func() any { return embedsOpen{open{inner()}, p.ID} },
		func() any { return embeds{p} },
	}
	if !b.plain {
		makers = append(makers, []func() any{
			func() any { return hiddenAny{inner()} },
			func() any { return &hiddenList{[]any{inner()}} },
			func() any { return hiddenMap{map[string]any{"a": inner()}} },
			func() any { return box[hiddenAny]{hiddenAny{inner()}} },
			func() any { return wrapper{inner()} },
			func() any { return parent{p} },
			func() any { return lazy{inner()} },
			func() any { return lazy{[]slog.Attr{slog.Any("a", inner()), slog.Any("", inner())}} },
			func() any { return fmt.Errorf("x: %w", holdAny{inner()}) },
			func() any { return errors.Join(failure(p), holdAny{inner()}) },
			func() any { return map[any]any{p: inner(), 1: inner()} },
			func() any { return reflect.ValueOf([]any{inner()}) },
			func() any { return map[*person]person{&p: p} },
			func() any { return slog.AnyValue(inner()) },
			func() any { return func() any { return p } },
			func() any { return embedsPtr{&p} },
		}...)
	}
	return makers[b.next(len(makers))]()
}

type embedsOpen struct {
	open
	N int `json:"n,omitempty"`
}

func FuzzNested(f *testing.F) {
	for seed := range byte(64) {
		data := make([]byte, 40)
		for i := range data {
			data[i] = seed*31 + byte(i*i)*seed + byte(i)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		hostile := (&builder{data: data, name: marker}).value(0)
		plain := (&builder{data: data, name: "[redacted]", plain: true}).value(0)
		for _, h := range []string{"text", "json"} {
			_, wrapped, replaced := lines(h, hostile)
			require.False(t, shows(wrapped+replaced), "%s%s", wrapped, replaced)
		}
		bare, wrapped, replaced := lines("json", plain)
		require.Equal(t, bare, wrapped)
		require.Equal(t, bare, replaced)
	})
}
