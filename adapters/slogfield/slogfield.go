package slogfield

import (
	"context"
	"log/slog"
	"slices"
)

// ReplaceAttr is a slog.HandlerOptions.ReplaceAttr that redacts. Behind a function of
// your own it sees what that one returns:
//
//	ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
//		return slogfield.ReplaceAttr(groups, own(groups, a))
//	},
//
// It leaves the key as it is, and is safe for concurrent use.
func ReplaceAttr(_ []string, a slog.Attr) slog.Attr {
	a.Value, _ = redact(a.Value)
	return a
}

// NewHandler returns a handler that passes all on to inner, redacted: a record's
// message and attributes, and those of With. Groups and LogValuers are resolved on the
// way. It is as safe for concurrent use as inner.
func NewHandler(inner slog.Handler) slog.Handler { return handler{inner} }

type handler struct{ inner slog.Handler }

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.inner.WithGroup(name)} }

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if redacted, changed := redactAll(attrs); changed {
		attrs = redacted
	}
	return handler{h.inner.WithAttrs(attrs)}
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if note, sealed := sealedText(r.Message); sealed {
		r.Message = note
	}
	var attrs []slog.Attr // all of them, once one has changed
	i := 0
	r.Attrs(func(a slog.Attr) bool {
		if v, changed := redact(a.Value); changed {
			if attrs == nil {
				attrs = attrsOf(r)
			}
			attrs[i].Value = v
		}
		i++
		return true
	})
	if attrs != nil {
		r = slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		r.AddAttrs(attrs...)
	}
	return h.inner.Handle(ctx, r)
}

func attrsOf(r slog.Record) []slog.Attr {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	return attrs
}

// redactAll returns a redacted copy, if there is something to redact.
func redactAll(attrs []slog.Attr) (redacted []slog.Attr, changed bool) {
	for i, a := range attrs {
		if v, ok := redact(a.Value); ok {
			if !changed {
				redacted, changed = slices.Clone(attrs), true
			}
			redacted[i].Value = v
		}
	}
	return redacted, changed
}

// redact returns what may be seen of v, and whether that differs from v.
func redact(v slog.Value) (slog.Value, bool) {
	switch v.Kind() {
	case slog.KindString:
		if note, sealed := sealedText(v.String()); sealed {
			return slog.StringValue(note), true
		}
	case slog.KindGroup:
		if attrs, changed := redactAll(v.Group()); changed {
			return slog.GroupValue(attrs...), true
		}
	case slog.KindLogValuer:
		v, _ = redact(v.Resolve())
		return v, true
	case slog.KindAny:
		if out, changed := redactAny(v.Any()); changed {
			return slog.AnyValue(out), true
		}
	}
	return v, false
}
