package slogfield_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/slogfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// lines returns what a handler of slog makes of a value: alone, behind NewHandler and
// with ReplaceAttr.
func lines(handler string, v any) (bare, wrapped, replaced string) {
	var out bytes.Buffer
	line := func(h slog.Handler) string {
		out.Reset()
		slog.New(h).Info("m", "v", v)
		return out.String()
	}
	inner := handlers(&out)[handler](&slog.HandlerOptions{ReplaceAttr: withoutTime})
	return line(inner), line(slogfield.NewHandler(inner)), line(handlers(&out)[handler](&slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			return slogfield.ReplaceAttr(groups, withoutTime(groups, a))
		},
	}))
}

// both returns a line without and with redaction.
func both(t *testing.T, handler string, v any) (bare, redacted string) {
	t.Helper()
	bare, redacted, replaced := lines(handler, v)
	require.Equal(t, redacted, replaced)
	return bare, redacted
}

type secret struct {
	S any `json:"s" seal:"encrypt"`
}

var shown = secret{"[redacted]"} // prints the same with and without redaction

type base struct {
	ID   int       `json:"id"`
	At   time.Time `json:"at"`
	Same string
	secret
}

type Base struct{ Same, Other string }

// upper prints itself in capitals.
type upper string

func (u upper) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(u))), nil }

// first has a pointer to its own first field, where it is itself.
type first struct {
	secret
	Mine *secret
}

type Point struct{ X, Y int }

// document has all that struct tags do to JSON.
type document struct {
	base
	*Base
	Point
	secret
	Plain     string
	Renamed   int               `json:"renamed" db:"x"`
	Left      string            `json:"-"`
	Empty     string            `json:"empty,omitempty"`
	EmptyMap  map[string]string `json:",omitempty"`
	EmptyPtr  *string           `json:",omitempty"`
	EmptyList []any             `json:",omitempty"`
	EmptyAny  any               `json:",omitempty"`
	Nil       *string
	NilMap    map[string]string
	NilList   []string
	NilAny    any
	Zero      struct{ X string } `json:",omitzero"`
	Quoted    int64              `json:",string"`
	QuotedTxt string             `json:",string"`
	Float     float64
	Bytes     []byte
	Raw       json.RawMessage
	Code      upper
	Time      time.Time
	Zone      *time.Time
	Period    time.Duration
	Addr      netip.Addr
	Int       *big.Int
	Keys      map[int]string
	Any       any
	List      []secret
	Map       map[netip.Addr]*secret
	HTML      string
}

func aDocument() document {
	return document{
		base: base{ID: 1, At: time.Unix(1, 5).UTC(), Same: "hidden by shallower", secret: shown}, Base: &Base{"twice, so in none", "o"}, Point: Point{1, 2}, secret: shown,
		Plain: "a b", Renamed: 2, Left: "l", Quoted: 4, QuotedTxt: "q", Float: 1e30, Bytes: []byte("bytes"), Raw: json.RawMessage(`{"a":[1,2]}`), Code: "code",
		Time: time.Unix(2, 0).UTC(), Zone: ptr(time.Unix(3, 0).UTC()), Period: time.Second, Addr: netip.MustParseAddr("::1"), Int: big.NewInt(7),
		Keys: map[int]string{2: "b", 1: "a", 10: "c"}, Any: []any{1, "x", nil, shown}, List: []secret{shown, shown},
		Map: map[netip.Addr]*secret{netip.MustParseAddr("1.2.3.4"): &shown, netip.MustParseAddr("::2"): nil}, HTML: "<&>",
	}
}

// TestTheRestIsAsBefore prints plaintexts that are the mark of redaction itself, so that
// all that is redacted has to be, byte for byte, what it was.
func TestTheRestIsAsBefore(t *testing.T) {
	d := aDocument()
	without := d
	without.Base = nil
	f := &first{secret: shown}
	f.Mine = &f.secret
	for _, v := range []any{shown, []secret{shown}, map[string]any{"b": 1, "a": shown, "c": []any{nil}}, map[int]secret{2: shown, 10: shown}, [1]any{shown}, &d, d, without, []any{&d, nil}, f} {
		bare, redacted := both(t, "json", v)
		require.NotContains(t, bare, "ERROR")
		require.Equal(t, bare, redacted)
	}
	for _, v := range []any{shown, []secret{shown}, map[string]any{"b": 1, "a": shown}, map[int]secret{2: shown, 10: shown}, [1]any{shown}, []any{secret{"[redacted]"}, 1, "x", nil}} {
		bare, redacted := both(t, "text", v)
		require.Equal(t, bare, redacted)
	}
	delete(without.Map, netip.MustParseAddr("::2")) // fmt sorts addresses as it likes
	_, text := both(t, "text", &without)
	require.Equal(t, `level=INFO msg=m v="{Base_:{ID:1 At:1970-01-01 00:00:01.000000005 +0000 UTC Same:hidden by shallower Secret:{S:[redacted]}} Base:<nil> Point:{X:1 Y:2} Secret:{S:[redacted]} `+
		`Plain:a b Renamed:2 Left:l Empty: EmptyMap:<nil> EmptyPtr:<nil> EmptyList:<nil> EmptyAny:<nil> Nil:<nil> NilMap:map[] NilList:[] NilAny:<nil> Zero:<nil> Quoted:4 QuotedTxt:q Float:1e+30 `+
		`Bytes:[98 121 116 101 115] Raw:[123 34 97 34 58 91 49 44 50 93 125] Code:code Time:1970-01-01 00:00:02 +0000 UTC Zone:1970-01-01 00:00:03 +0000 UTC Period:1s Addr:::1 Int:+7 Keys:map[1:a 2:b 10:c] `+
		`Any:[1 x <nil> {S:[redacted]}] List:[{S:[redacted]} {S:[redacted]}] Map:map[1.2.3.4:{S:[redacted]}] HTML:<&>}"`+"\n", text)
}

// TestLocksAreNotRead copies a struct with fields that others may be writing: what they
// have in unexported fields is not read, but where a method of theirs prints it.
func TestLocksAreNotRead(t *testing.T) {
	type shared struct {
		secret
		Mu    sync.Mutex
		Count struct{ N atomic.Int64 }
		Named struct {
			Text string
			n    int
		}
		At time.Time
	}
	v := &shared{secret: shown, At: time.Unix(1, 0).UTC()}
	v.Count.N.Store(4711)
	v.Named.Text, v.Named.n = "a", 4711
	_, line := both(t, "text", v)
	require.Equal(t, `level=INFO msg=m v="{Secret:{S:[redacted]} Mu:{} Count:{N:{}} Named:{Text:a} At:1970-01-01 00:00:01 +0000 UTC}"`+"\n", line)
	bare, redacted := both(t, "json", v)
	require.Equal(t, bare, redacted)
}

// TestEmbeddedPrinters embeds what prints itself, and with it the struct. In the copy it
// is a field like others.
func TestEmbeddedPrinters(t *testing.T) {
	type logged struct {
		time.Time
		secret
		upper
	}
	v := logged{time.Unix(1, 0).UTC(), secret{marker}, "u"}
	_, line := both(t, "json", v)
	require.Equal(t, `{"level":"INFO","msg":"m","v":{"Time":"1970-01-01T00:00:01Z","s":"[redacted]"}}`+"\n", line)
	_, line = both(t, "text", v)
	require.Equal(t, `level=INFO msg=m v="{Time:1970-01-01 00:00:01 +0000 UTC Secret:{S:[redacted]}}"`+"\n", line)
}

// TestNothingToRedact looks at values of all kinds in which there is nothing: a handler
// gets them as they are.
func TestNothingToRedact(t *testing.T) {
	type plain struct {
		A string
		B *plain
		c *secret // why it is copied, without this
	}
	type clean struct {
		A string
		B []*clean
		C map[string]any
		d int
		e *strings.Builder
	}
	type chain struct {
		Text string
		Next *chain
	}
	long := &chain{}
	for range 2 * 100 {
		long = &chain{"x", long}
	}
	r := &clean{A: "a", d: 1, e: &strings.Builder{}}
	r.C = map[string]any{"x": clean{A: "b"}}
	for _, v := range []any{
		nil, 1, "x", 1.5, true, time.Now(), time.Second, []byte("x"), []byte(nil), []string{"a"}, map[string]int{"a": 1}, r, *r, []any{r, 1, nil}, errors.New("x"),
		fmt.Errorf("x: %w", errors.New("y")), errors.Join(errors.New("x")), &caused{"y"}, []any{&caused{1}}, (*clean)(nil), (*secret)(nil), []secret{}, []secret(nil), map[string]secret{}, []*secret{nil}, error(nil), (*holding)(nil),
		netip.MustParseAddr("1.2.3.4"), big.NewInt(3), make(chan secret), func() secret { return shown }, slog.LevelError, &slog.Source{Function: "f"}, struct{}{}, struct{ C chan secret }{}, [0]secret{},
		crypto.FieldConfig{}, json.RawMessage(`{"Name":1}`), slog.GroupValue(slog.Int("a", 1)), (*unwrapsNil)(nil), make([]string, 70_000), long,
	} {
		for _, h := range []string{"text", "json"} {
			bare, redacted := both(t, h, v)
			require.Equal(t, bare, redacted)
		}
	}
	_, text := both(t, "text", plain{A: "a", c: &shown})
	require.Contains(t, text, `v="{A:a B:<nil>}"`)
}

type (
	rowBase  struct{ Embedded []byte }
	onlyBase struct{ rowBase }
)

func TestSealedValues(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	field, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
	require.NoError(t, err)
	index, err := token.NewIndex(kr, "f", token.IndexConfig{})
	require.NoError(t, err)
	siv, err := token.NewDeterministic(kr, "f", token.DeterministicConfig{})
	require.NoError(t, err)
	empty, err := field.Encrypt(ctx, nil, crypto.Binding{})
	require.NoError(t, err)
	full, err := field.Encrypt(ctx, []byte("ann@example.com"), crypto.Binding{})
	require.NoError(t, err)
	tag, err := index.Tag(ctx, []byte("ann@example.com"), "")
	require.NoError(t, err)
	det, err := siv.Tokenize(ctx, nil, nil, "")
	require.NoError(t, err)
	for _, sealed := range [][]byte{empty, full, tag, det} {
		id, err := crypto.KeyID(sealed)
		require.NoError(t, err)
		note := "sealed(key " + id.String() + ")"
		type row struct {
			rowBase
			ID    int
			Email []byte
			Text  string `json:",omitempty"`
			Named json.RawMessage
		}
		for v, want := range map[any]string{
			string(sealed): note, crypto.EncodeText(sealed): note, &sealed: note,
			&[][]byte{sealed, []byte("x")}: note, &map[string]any{"a": map[string][]byte{"b": sealed}}: note, &row{rowBase: rowBase{sealed}}: note, &onlyBase{rowBase{sealed}}: note, &row{Email: sealed, Text: crypto.EncodeText(sealed), Named: sealed}: note,
			&map[string]bool{crypto.EncodeText(sealed): true}: note, &lazy{sealed}: note,
		} {
			for _, h := range []string{"text", "json"} {
				_, redacted := both(t, h, v)
				require.Contains(t, redacted, want)
				require.NotContains(t, redacted, crypto.EncodeText(sealed)[8:])
			}
		}
		var out bytes.Buffer
		slog.New(slogfield.NewHandler(slog.NewTextHandler(&out, nil))).With("a", sealed).Info(crypto.EncodeText(sealed))
		require.Contains(t, out.String(), `msg="`+note+`" a="`+note+`"`)
	}
	for _, other := range [][]byte{nil, full[:20], append([]byte{2}, full[1:]...), append([]byte{1, 0x7f}, full[2:]...)} {
		for _, v := range []any{other, string(other), crypto.EncodeText(other), crypto.EncodeText(full) + "=", "SF1" + crypto.EncodeText(full)[3:], " " + crypto.EncodeText(full)} {
			bare, redacted := both(t, "text", v)
			require.Equal(t, bare, redacted)
		}
	}
	// Sealed keys of a map stay apart.
	_, redacted := both(t, "json", map[string]int{crypto.EncodeText(full): 1, crypto.EncodeText(empty): 1})
	id, _ := crypto.KeyID(full)
	require.Contains(t, redacted, fmt.Sprintf(`"v":{"sealed(key %s)":1,"sealed(key %[1]s) #2":1}`, id))
}

// hostile are types whose methods do what they should not.
type (
	unwrapPanics  struct{ s string }
	logPanics     struct{ secret }
	keyPanics     struct{ X string }
	unwrapsItself struct{ secret }
	unwrapsNil    struct{ err error }
)

func (u unwrapPanics) Error() string           { return u.s }
func (unwrapPanics) Unwrap() error             { panic(marker) }
func (logPanics) LogValue() slog.Value         { panic(marker) }
func (keyPanics) MarshalText() ([]byte, error) { panic(marker) }
func (u *unwrapsNil) Error() string            { return u.err.Error() }
func (u *unwrapsNil) Unwrap() error            { return u.err }
func (u *unwrapsItself) Error() string         { return "x" }
func (u *unwrapsItself) Unwrap() error         { return u }

type endless struct{ secret }

func (e endless) LogValue() slog.Value { return slog.AnyValue(e) }

func TestHostileValues(t *testing.T) {
	wide := []any{}
	for range 6 {
		wide = []any{wide, wide, wide, wide, wide, wide, wide, wide, &wide}
	}
	deep := carriers()["too deep"]
	_, line := both(t, "text", deep)
	require.Equal(t, "level=INFO msg=m v="+strings.Repeat("[", 51)+"[redacted]"+strings.Repeat("]", 51)+"\n", line)
	_, line = both(t, "text", carriers()["ring"])
	require.Equal(t, "level=INFO msg=m v=\"{Person:{ID:1 Name:[redacted]} Next:[redacted]}\"\n", line)
	for what, v := range map[string]any{
		"panics in Unwrap": unwrapPanics{marker}, "in LogValue": logPanics{shown}, "in MarshalText": map[keyPanics]secret{{marker}: shown},
		"unwraps itself": &unwrapsItself{shown}, "endless LogValue": endless{secret{marker}}, "wide": wide, "long": append(make([]any, 66_000), ann),
	} {
		for _, h := range []string{"text", "json"} {
			_, wrapped, replaced := lines(h, v)
			require.False(t, shows(wrapped+replaced), what)
			require.Less(t, len(wrapped+replaced), 5000, what)
		}
	}
}

// TestLargeValues has maps and lists of more values than are looked at. The work is that
// of those which are.
func TestLargeValues(t *testing.T) {
	note := "sealed(key 80000001)"
	sealed := string(append([]byte{1, 0x80, 0, 0, 1}, make([]byte, 28)...))
	const looked, all = 1 << 16, 10 << 16
	texts, list, mixed, sealedTexts := map[string]int{}, make([]string, all), map[int]any{}, make([]string, all)
	for i := range all {
		texts[strconv.Itoa(i)], list[i], mixed[i], sealedTexts[i] = i, "x", i, "x"
	}
	sealedTexts[1] = sealed
	for what, v := range map[string]any{"texts": texts, "list": list, "mixed": mixed, "mixed list": slices.Repeat([]any{1}, all)} {
		work := testing.AllocsPerRun(1, func() { slogfield.ReplaceAttr(nil, slog.Any("v", v)) })
		require.Less(t, work, 8.0*looked, what)
	}

	out := slogfield.ReplaceAttr(nil, slog.Any("v", sealedTexts)).Value.Any().([]any)
	require.Len(t, out, all, "the rest is there")
	require.Equal(t, []any{"x", note, "x"}, out[:3])
	require.Equal(t, "x", out[all-1])
	for _, v := range []any{texts, list} {
		require.Equal(t, reflect.TypeOf(v), reflect.TypeOf(slogfield.ReplaceAttr(nil, slog.Any("v", v)).Value.Any()))
	}
	texts[sealed] = 1
	if m, changed := slogfield.ReplaceAttr(nil, slog.Any("v", texts)).Value.Any().(map[string]any); changed { // by the order of the map
		require.Len(t, m, all+1)
		require.Contains(t, m, note)
	}
	require.Equal(t, "[redacted]", slogfield.ReplaceAttr(nil, slog.Any("v", mixed)).Value.Any())
}

func TestHandlerConforms(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return slogfield.NewHandler(slog.NewJSONHandler(&out, nil))
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		require.NoError(t, json.Unmarshal(out.Bytes(), &m))
		return m
	})
}

// TestHandlerPassesOn checks what slogtest does not: the level, the source, and that the
// attributes of the caller stay as they are.
func TestHandlerPassesOn(t *testing.T) {
	var out bytes.Buffer
	inner := slog.NewJSONHandler(&out, &slog.HandlerOptions{AddSource: true, Level: slog.LevelWarn})
	h := slogfield.NewHandler(inner)
	require.False(t, h.Enabled(t.Context(), slog.LevelInfo))
	require.True(t, h.Enabled(t.Context(), slog.LevelWarn))
	attrs := []slog.Attr{slog.Int("a", 1), slog.Any("p", ann), slog.Any("q", &ann)}
	group := slog.Group("g", attrs[0], attrs[1])
	slog.New(h.WithAttrs(attrs).WithAttrs([]slog.Attr{group})).Warn("m", "b", 2, "p", ann, "c", 3)
	require.Contains(t, out.String(), "slogfield_test.go")
	require.Contains(t, out.String(), `"msg":"m","a":1,"p":{"ID":1,"Name":"[redacted]"},"q":{"ID":1,"Name":"[redacted]"},"g":{"a":1,"p":{"ID":1,"Name":"[redacted]"}},"b":2,"p":{"ID":1,"Name":"[redacted]"},"c":3}`)
	require.Equal(t, ann, attrs[1].Value.Any())
	require.Equal(t, ann, group.Value.Group()[1].Value.Any())
	require.Equal(t, marker, ann.Name)

	require.ErrorContains(t, slogfield.NewHandler(failing{}).Handle(t.Context(), slog.Record{}), "disk full")
}

type failing struct{ slog.Handler }

func (failing) Handle(context.Context, slog.Record) error { return errors.New("disk full") }

// TestConcurrentUse lets goroutines meet at types that none has seen; run it with -race.
func TestConcurrentUse(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slogfield.NewHandler(slog.NewJSONHandler(&out, nil))).With("d", aDocument())
	var wg sync.WaitGroup
	type first struct{ V box[box[box[person]]] }
	for range 8 {
		wg.Go(func() {
			for range 20 {
				log.Info("m", "v", first{box[box[box[person]]]{box[box[person]]{box[person]{ann}}}}, "w", []any{aDocument(), &ann})
			}
		})
	}
	wg.Wait()
	require.False(t, shows(out.String()))
	require.Equal(t, 160, strings.Count(out.String(), "\n"))
}

// TestPlainAttributesCostNothing compares with the handler alone.
func TestPlainAttributesCostNothing(t *testing.T) {
	ctx := t.Context()
	inner := slog.DiscardHandler
	attrs := plainAttrs()
	allocs := func(h slog.Handler) float64 {
		return testing.AllocsPerRun(100, func() {
			r := slog.NewRecord(time.Time{}, slog.LevelInfo, "message", 0)
			r.AddAttrs(attrs[:5]...)
			_ = h.Handle(ctx, r)
		})
	}
	require.Zero(t, allocs(inner))
	require.Zero(t, allocs(slogfield.NewHandler(inner)))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, a := range attrs {
			slogfield.ReplaceAttr(nil, a)
		}
	}))
}

func plainAttrs() []slog.Attr {
	return []slog.Attr{
		slog.String("method", "GET"), slog.Int("status", 200), slog.Duration("took", 3*time.Millisecond), slog.Bool("cached", true), slog.Time("at", time.Unix(1e9, 0)),
		slog.Float64("ratio", 0.5), slog.Any("level", slog.LevelInfo), slog.Any("when", [2]int{1, 2}), slog.Any("nothing", nil),
	}
}
