package slogfield_test

import (
	"container/list"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
)

// marker is the plaintext that must be seen nowhere.
const marker = "MARKER-4711"

type person struct {
	ID   int
	Name string `seal:"encrypt"`
}

var ann = person{ID: 1, Name: marker}

type kinds struct {
	Bytes   []byte             `seal:"encrypt"`
	Pointer *string            `seal:"encrypt"`
	List    []string           `seal:"encrypt"`
	Map     map[string]string  `seal:"encrypt"`
	Struct  struct{ X string } `seal:"encrypt,type=t"`
	Any     any                `seal:"token=pan,version=1"`
	Array   [1]string          `seal:"any words at all"`
	Empty   string             `seal:""`
	hidden  string             `seal:"encrypt"`
}

// Structs that have a person in some way.
type (
	nested     struct{ P person }
	hidden     struct{ p person }
	hiddenAny  struct{ v any }
	hiddenErr  struct{ err error }
	hiddenList struct{ all []any }
	hiddenMap  struct{ m map[string]any }
	hiddenPtr  struct{ p *person }
	open       struct{ V any }
	embeds     struct{ person }
	embedsPtr  struct{ *person }
	Person     person
	embedsBoth struct {
		Person
		embedsPtr
	}
	box[T any]       struct{ V T }
	sealedBox[T any] struct {
		V T `seal:"encrypt"`
	}
	ring struct {
		person
		Next *ring
	}
	anyRing struct {
		V    any
		Next *anyRing
	}
	recursive struct {
		*recursive
		Name string `seal:"encrypt"`
	}
	Ping struct{ *Pong }
	Pong struct {
		*Ping
		Name string `seal:"encrypt"`
	}
)

// Types that print themselves, the more the better.
type (
	stringer  person
	formatter person
	jsoner    person
	texter    person
	parent    struct{ P person }
	wrapper   struct{ v any }
	keyed     map[string]person
	people    []person
	failure   person
	holding   struct{ p *person }
	holdAny   struct{ V any }
	wrapping  struct{ error }
	joining   []error
	caused    struct{ cause any }
	valuer    person
	grouper   person
	lazy      struct{ v any }
	pointed   person
)

func (s stringer) String() string              { return s.Name }
func (f formatter) Format(s fmt.State, _ rune) { s.Write([]byte(f.Name)) }
func (f formatter) GoString() string           { return f.Name }
func (j jsoner) MarshalJSON() ([]byte, error)  { return json.Marshal(j.Name) }
func (t texter) MarshalText() ([]byte, error)  { return []byte(t.Name), nil }
func (p parent) String() string                { return p.P.Name }
func (p parent) MarshalJSON() ([]byte, error)  { return json.Marshal(p.P.Name) }
func (w wrapper) String() string               { return fmt.Sprint(w.v) }
func (w wrapper) MarshalJSON() ([]byte, error) { return json.Marshal(w.v) }
func (k keyed) String() string                 { return k["x"].Name }
func (p people) MarshalText() ([]byte, error)  { return []byte(p[0].Name), nil }
func (f failure) Error() string                { return f.Name }
func (h *holding) Error() string               { return h.p.Name }
func (h holdAny) Error() string                { return fmt.Sprint(h.V) }
func (w wrapping) Unwrap() error               { return w.error }
func (j joining) Error() string                { return errors.Join(j...).Error() }
func (j joining) Unwrap() []error              { return j }
func (c *caused) Error() string                { return "caused" }
func (valuer) LogValue() slog.Value            { return slog.AnyValue(ann) }
func (grouper) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("p", ann), slog.Any("l", lazy{[]any{ann}}))
}
func (l lazy) LogValue() slog.Value             { return slog.AnyValue(l.v) }
func (p *pointed) String() string               { return p.Name }
func (p *pointed) MarshalJSON() ([]byte, error) { return json.Marshal(p.Name) }

func ptr[T any](v T) *T { return &v }

// carriers hold the marker so that the handlers of slog show it: but for some in one
// of them only.
func carriers() map[string]any {
	r := &ring{person: ann}
	r.Next = r
	ar := &anyRing{V: ann}
	ar.Next = &anyRing{V: []any{ar}}
	self := map[string]any{"p": ann}
	self["self"] = []any{self}
	pong := &Pong{Name: marker}
	pong.Ping = &Ping{pong}
	own := &recursive{Name: marker}
	own.recursive = own
	atom := &atomic.Value{}
	atom.Store(ann)
	all := map[string]any{
		"struct": ann, "pointer": &ann, "pointers": ptr(ptr(&ann)), "kinds": kinds{
			[]byte(marker), ptr(marker), []string{marker}, map[string]string{marker: marker}, struct{ X string }{marker}, marker, [1]string{marker}, marker, marker},
		"slice": []person{{}, ann}, "array": [2]person{{}, ann}, "slice of pointers": []*person{&ann}, "slice of any": []any{1, "x", nil, ann},
		"map": map[string]person{"x": ann}, "map of any": map[string]any{"x": map[int]any{1: &ann}}, "map of slices": map[int][]*person{1: {&ann}},
		"key": map[person]int{ann: 1}, "any key": map[any]int{ann: 1, 2: 2}, "array key": map[[1]person]string{{ann}: "x"}, "text key": map[texter]int{texter(ann): 1}, "pointer key": map[*texter]int{ptr(texter(ann)): 1},
		"nested": nested{ann}, "hidden": hidden{ann}, "hidden any": hiddenAny{ann}, "hidden error": hiddenErr{failure(ann)}, "hidden list": &hiddenList{[]any{ann}}, "hidden map": hiddenMap{map[string]any{"x": ann}},
		"deep in hidden": []any{hiddenAny{[]any{hidden{ann}}}}, "hidden in open": open{V: hiddenList{[]any{ann}}}, "open": open{V: []any{open{V: &ann}}}, "pointer in open": open{V: ptr(any(open{V: ptr(ann)}))},
		"embedded": embeds{ann}, "embedded pointer": embedsPtr{&ann}, "embedded twice": embedsBoth{Person(ann), embedsPtr{&ann}}, "embedded in any": []any{embeds{ann}},
		"generic": box[person]{ann}, "generic any": box[any]{ann}, "generic tagged": sealedBox[string]{marker}, "generic of generic": box[[]box[*sealedBox[any]]]{[]box[*sealedBox[any]]{{&sealedBox[any]{marker}}}},
		"ring": r, "any ring": ar, "map in itself": []any{box[any]{ann}, 1}, "recursive": recursive{&recursive{nil, marker}, marker}, "recursive to itself": own,
		"embed each other": pong, "embedded by each other": struct{ *Ping }{pong.Ping},
		"anonymous": struct {
			A string `seal:"encrypt"`
		}{marker},
		"stringer": stringer(ann), "formatter": formatter(ann), "json": jsoner(ann), "text": texter(ann), "parent": parent{ann}, "pointer methods": ptr(pointed(ann)), "pointer methods in open": open{ptr(pointed(ann))},
		"wrapper": wrapper{ann}, "wrapper of wrapper": wrapper{[]any{wrapper{&ann}}}, "named map": keyed{"x": ann}, "named slice": people{ann}, "stringers": []fmt.Stringer{stringer(ann), wrapper{ann}}, "map of stringers": map[string]fmt.Stringer{"x": stringer(ann)},
		"error": failure(ann), "pointer error": &holding{&ann}, "error of any": holdAny{[]any{ann}}, "wrapped": fmt.Errorf("x: %w", failure(ann)), "wrapped twice": fmt.Errorf("y: %w", fmt.Errorf("x: %w, %w", errors.New("z"), &holding{&ann})),
		"joined": errors.Join(errors.New("x"), failure(ann)), "embedded error": wrapping{failure(ann)}, "list of errors": joining{failure(ann)}, "errors": []error{failure(ann), &holding{&ann}}, "error in open": open{fmt.Errorf("x: %w", failure(ann))},
		"error that is none": caused{ann}, "errors that are none": []caused{{[]any{&ann}}, {ann}}, "error that is none in open": open{caused{ann}}, "error that is none, embedded": struct{ caused }{caused{ann}},
		"valuer": valuer(ann), "valuer pointer": ptr(valuer(ann)), "grouper": grouper(ann), "lazy": lazy{lazy{lazy{[]any{ann}}}}, "valuer in slice": []any{valuer(ann)}, "lazy group": lazy{[]slog.Attr{slog.Any("p", &ann)}},
		"slog value": slog.AnyValue(ann), "slog values": []slog.Value{slog.AnyValue(ann)}, "slog attrs": map[string]any{"x": []slog.Attr{slog.Any("p", ann)}},
		"reflect value": reflect.ValueOf(ann), "reflect value of pointer": reflect.ValueOf(&ann), "reflect value of field": reflect.ValueOf(hidden{ann}).Field(0),
		"sql null": sql.Null[person]{V: ann, Valid: true}, "atomic value": atom,
		"long": append(make([]any, 200), ann),
	}
	deep := any(ann)
	for range 200 {
		deep = []any{deep}
	}
	all["too deep"] = deep
	return all
}

// deepCarriers hold the marker where slog's own handlers do not look.
func deepCarriers() map[string]any {
	l := list.New()
	l.PushBack(ann)
	return map[string]any{"list": l, "hidden pointer": hiddenPtr{&ann}, "pointer in hidden": []any{hiddenAny{[]any{&ann}}}}
}
