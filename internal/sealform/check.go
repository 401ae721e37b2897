package sealform

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// This file refuses what a column of the type in the clear could not hold, or would
// give back as another value: pgx turns some values into others without an error, and
// the database, which refuses the rest, never sees what is sealed.

// ErrValue is what each such refusal is by errors.Is.
var ErrValue = errors.New("the value does not fit its type")

// valueError says why a value is refused, and nothing of the value.
type valueError string

func (e valueError) Error() string        { return string(e) }
func (e valueError) Is(target error) bool { return target == ErrValue }

// Map is pgx's map of types with these refusals in its codecs, and so in whatever is
// made of their values: arrays, ranges, composites. It is not safe for concurrent use.
type Map struct{ *pgtype.Map }

// NewMap returns a Map of the types that PostgreSQL has built in.
func NewMap() *Map {
	m := &Map{pgtype.NewMap()}
	for oid, r := range rules {
		t, _ := m.TypeForOID(oid)
		m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: checked{t.Codec, r}})
	}
	return m
}

// rule is what values of a type are held to. A nil part holds them to nothing.
type rule struct {
	value func(v any) error        // what pgx is given, where it would make another value of it
	form  func(form []byte) error  // what it makes of it, as PostgreSQL's receive function has it
	text  *regexp.Regexp           // texts, where pgx reads more than PostgreSQL does
	plain func(text string) string // the text as pgx reads it, where PostgreSQL reads more
}

// checked is a codec that holds values to a rule.
type checked struct {
	pgtype.Codec
	rule
}

func (c checked) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	plan := c.Codec.PlanEncode(m, oid, format, value)
	if plan == nil {
		return nil
	}
	p := checkedPlan{plan, c.rule, nil}
	if format != pgtype.BinaryFormatCode {
		p.binary = c.Codec.PlanEncode(m, oid, pgtype.BinaryFormatCode, value)
	}
	return p
}

func (c checked) DecodeValue(m *pgtype.Map, oid uint32, format int16, src []byte) (any, error) {
	if src != nil && format == pgtype.TextFormatCode && c.text != nil && !c.text.Match(src) {
		return nil, errSpelling
	}
	if src != nil && format == pgtype.TextFormatCode && c.plain != nil {
		src = []byte(c.plain(string(src)))
	}
	v, err := c.Codec.DecodeValue(m, oid, format, src)
	if infinity, ok := v.(pgtype.InfinityModifier); ok { // which pgx can not encode again
		switch oid {
		case pgtype.DateOID:
			return pgtype.Date{InfinityModifier: infinity, Valid: true}, err
		case pgtype.TimestampOID:
			return pgtype.Timestamp{InfinityModifier: infinity, Valid: true}, err
		case pgtype.TimestamptzOID:
			return pgtype.Timestamptz{InfinityModifier: infinity, Valid: true}, err
		}
	}
	return v, err
}

type checkedPlan struct {
	pgtype.EncodePlan
	rule
	binary pgtype.EncodePlan // for what is encoded as text
}

func (p checkedPlan) Encode(value any, buf []byte) ([]byte, error) {
	if p.value != nil {
		if err := p.value(value); err != nil {
			return nil, err
		}
	}
	out, err := p.EncodePlan.Encode(value, buf)
	if err != nil || out == nil || p.form == nil {
		return out, err
	}
	form := out[len(buf):]
	if p.binary != nil {
		if form, err = p.binary.Encode(value, []byte{}); err != nil {
			return nil, err
		}
	}
	return out, p.form(form)
}

const (
	errSpelling = valueError("the value is not spelt as a value of its type")
	errFraction = valueError("the value is no integer of the type")
	errExact    = valueError("the value is no exact value of the type")
	errMicros   = valueError("the duration has parts of a microsecond")
	errTimeDay  = valueError("the time of day has a date or a zone, which its type can not hold")
	errZone     = valueError("the address has a zone, which its type can not hold")
	errMask     = valueError("the mask does not fit the address")
	errFourInIP = valueError("the net.IP is an IPv4 address in 16 bytes, which would be kept as one of IPv6: give what To4 returns")
	errSize     = valueError("the value has a wrong number of bytes")
	errBits     = valueError("the bits do not fit their number")
	errOrder    = valueError("the lower bound is greater than the upper one")
	errJSON     = valueError("the value is no JSON")
	errEscape   = valueError("the value has an escaped character that jsonb can not hold")
	errNumber   = valueError("the value has a number that jsonb can not hold")
	errShape    = valueError("the array is not rectangular")
	errGeometry = valueError("the value is none of its geometric type")
	errLexemes  = valueError("the lexemes are not in order")
)

var rules = map[uint32]rule{
	pgtype.TextOID:        {form: formOfText},
	pgtype.XMLOID:         {form: formOfText},
	pgtype.JSONOID:        {form: formOfJSON},
	pgtype.JSONBOID:       {form: formOfJSONB},
	pgtype.Int8OID:        {value: wholeNumber},
	pgtype.Int4OID:        {value: wholeNumber},
	pgtype.Float4OID:      {value: exactFloat32},
	pgtype.Float8OID:      {value: exactFloat64},
	pgtype.NumericOID:     {form: formOfNumeric, plain: withoutExponent},
	pgtype.UUIDOID:        {value: sizeOfUUID, text: regexp.MustCompile(`^[\da-fA-F]{8}(-?)(?:[\da-fA-F]{4}-?){3}[\da-fA-F]{12}$`)},
	pgtype.BoolOID:        {text: regexp.MustCompile(`^(?:t|f|true|false)$`)},
	pgtype.DateOID:        {value: rangeOfDate},
	pgtype.TimestampOID:   {value: rangeOfTimestamp},
	pgtype.TimestamptzOID: {value: rangeOfTimestamptz},
	pgtype.TimeOID:        {value: timeWithoutDate, form: formOfTime, text: regexp.MustCompile(`^\d\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?$`), plain: withSeconds},
	pgtype.IntervalOID:    {value: wholeMicros, text: regexp.MustCompile(`^(?:-?\d{1,7} years? ?)?(?:[+-]?\d{1,8} mons? ?)?(?:[+-]?\d{1,9} days? ?)?(?:[+-]?\d{1,9}:[0-5]\d:[0-5]\d(?:\.\d{1,6})?)?$`)},
	pgtype.InetOID:        {value: plainAddress, text: regexp.MustCompile(`^[^%]*$`)},
	pgtype.CIDROID:        {value: plainNetwork, text: regexp.MustCompile(`^[^%]*$`)},
	pgtype.MacaddrOID:     {form: formOfSize(6)},
	pgtype.Macaddr8OID:    {form: formOfSize(8)},
	pgtype.BitOID:         {form: formOfBits, text: regexp.MustCompile(`^[01]*$`)},
	pgtype.VarbitOID:      {form: formOfBits, text: regexp.MustCompile(`^[01]*$`)},
	pgtype.BoxOID:         {form: formOfBox},
	pgtype.LineOID:        {form: formOfLine},
	pgtype.CircleOID:      {form: formOfCircle},
	pgtype.PathOID:        {form: formOfPoints(1)},
	pgtype.PolygonOID:     {form: formOfPoints(0)},
	pgtype.TSVectorOID:    {form: formOfTSVector},
	pgtype.Int4rangeOID:   {form: formOfRange(compareIntegers)},
	pgtype.Int8rangeOID:   {form: formOfRange(compareIntegers)},
	pgtype.DaterangeOID:   {form: formOfRange(compareIntegers)},
	pgtype.TsrangeOID:     {form: formOfRange(compareIntegers)},
	pgtype.TstzrangeOID:   {form: formOfRange(compareIntegers)},
	pgtype.NumrangeOID:    {form: formOfRange(compareNumerics)},
}

func formOfText(form []byte) error {
	if !validText(form) {
		return errText
	}
	return nil
}

func validText(text []byte) bool {
	return utf8.Valid(text) && strings.IndexByte(string(text), 0) < 0
}

func formOfJSON(form []byte) error {
	switch {
	case !utf8.Valid(form):
		return errText
	case !json.Valid(form): // a zero byte among others
		return errJSON
	}
	return nil
}

// formOfJSONB refuses, beyond what is no JSON, what jsonb turns into text and numeric
// and these can not hold.
func formOfJSONB(form []byte) error {
	text := JSONText(form, "jsonb")
	if err := formOfJSON(text); err != nil {
		return err
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			n, err := lengthOfString(text[i:])
			if err != nil {
				return err
			}
			i += n - 1
		case c == '-' || c >= '0' && c <= '9':
			n := i + 1
			for n < len(text) && strings.IndexByte("0123456789.eE+-", text[n]) >= 0 {
				n++
			}
			if !fitsNumeric(string(text[i:n])) {
				return errNumber
			}
			i = n - 1
		}
	}
	return nil
}

// lengthOfString returns the length of the JSON string that text begins with. It
// refuses one with a zero character, or with half of a surrogate pair.
func lengthOfString(text []byte) (int, error) {
	high := rune(0)
	for i := 1; ; i++ {
		r := rune(-1)
		c := text[i]
		if c == '\\' {
			if i++; text[i] == 'u' {
				n, _ := strconv.ParseUint(string(text[i+1:i+5]), 16, 16)
				r = rune(n)
				i += 4
			}
		}
		isLow := r >= 0xdc00 && r <= 0xdfff
		if r == 0 || (high != 0) != isLow {
			return 0, errEscape
		}
		high = 0
		switch {
		case utf16.IsSurrogate(r) && !isLow:
			high = r
		case c == '"':
			return i + 1, nil
		}
	}
}

const (
	mostWhole    = 131072 // digits of a numeric before the point
	mostFraction = 16383  // and after it
)

// fitsNumeric reports whether a number of JSON is small enough for numeric.
func fitsNumeric(number string) bool {
	digits, scale, ok := parseNumber(strings.TrimPrefix(number, "-"))
	return ok && (digits == "" || len(digits)-scale <= mostWhole) && scale <= mostFraction
}

// parseNumber returns the digits of a number without a sign, from the first that is not
// zero on, and how many are behind the point. PostgreSQL reads no greater exponents.
func parseNumber(number string) (digits string, scale int, ok bool) {
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(number), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	e := 0
	if hasExponent {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil || e >= math.MaxInt32/2 || e <= -math.MaxInt32/2 {
			return "", 0, false
		}
	}
	return strings.TrimLeft(whole+fraction, "0"), len(fraction) - e, true
}

var withExponent = regexp.MustCompile(`^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+)$`)

// withoutExponent writes out the number of a text such as 1.5e3.
func withoutExponent(text string) string {
	parts := withExponent.FindStringSubmatch(text)
	if parts == nil || !fitsNumeric(parts[2]) {
		return text
	}
	digits, scale, _ := parseNumber(parts[2])
	if digits == "" {
		digits, scale = "0", max(0, scale)
	}
	if scale <= 0 {
		return parts[1] + digits + strings.Repeat("0", -scale)
	}
	digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
	point := len(digits) - scale
	return parts[1] + digits[:point] + "." + digits[point:]
}

func withSeconds(text string) string {
	if len(text) == len("11:22") {
		return text + ":00"
	}
	return text
}

func formOfNumeric(form []byte) error {
	if len(form) >= 8 && binary.BigEndian.Uint16(form[6:]) > mostFraction {
		return ErrRange
	}
	return nil
}

func wholeNumber(v any) error {
	f, ok := v.(pgtype.Float64Valuer)
	if _, exact := v.(pgtype.NumericValuer); !ok || exact { // which refuses a fraction itself
		return nil
	}
	n, err := f.Float64Value()
	if err == nil && n.Valid && !(n.Float64 == math.Trunc(n.Float64) && n.Float64 >= math.MinInt64 && n.Float64 < 1<<63) {
		return errFraction
	}
	return err
}

func exactFloat32(v any) error {
	switch v := v.(type) {
	case pgtype.Float64Valuer:
		f, err := v.Float64Value()
		if err == nil && f.Valid && f.Float64 == f.Float64 && float64(float32(f.Float64)) != f.Float64 {
			return errExact
		}
		return err
	case pgtype.Int64Valuer:
		return exactInteger(v, func(n int64) float64 { return float64(float32(n)) })
	}
	return nil
}

func exactFloat64(v any) error {
	if _, ok := v.(pgtype.Float64Valuer); ok {
		return nil
	}
	if v, ok := v.(pgtype.Int64Valuer); ok {
		return exactInteger(v, func(n int64) float64 { return float64(n) })
	}
	return nil
}

func exactInteger(v pgtype.Int64Valuer, float func(int64) float64) error {
	n, err := v.Int64Value()
	if err != nil || !n.Valid {
		return err
	}
	if f := float(n.Int64); f >= 1<<63 || int64(f) != n.Int64 {
		return errExact
	}
	return nil
}

func sizeOfUUID(v any) error {
	if t := reflect.ValueOf(v); t.Kind() == reflect.Slice && !t.IsNil() && t.Len() != 16 {
		return errSize
	}
	return nil
}

// lastDate is the day after the last one that a date can be.
var lastDate = time.Date(5874898, 1, 1, 0, 0, 0, 0, time.UTC)

func rangeOfDate(v any) error {
	d, err := v.(pgtype.DateValuer).DateValue()
	if err != nil || !d.Valid {
		return err
	}
	year, month, day := d.Time.Date()
	return inRange(time.Date(year, month, day, 0, 0, 0, 0, time.UTC), d.InfinityModifier, lastDate)
}

func rangeOfTimestamp(v any) error {
	t, err := v.(pgtype.TimestampValuer).TimestampValue()
	if err != nil || !t.Valid {
		return err
	}
	year, month, day := t.Time.Date()
	hour, minute, second := t.Time.Clock()
	return inRange(time.Date(year, month, day, hour, minute, second, t.Time.Nanosecond(), time.UTC), t.InfinityModifier, maxTime)
}

func rangeOfTimestamptz(v any) error {
	t, err := v.(pgtype.TimestamptzValuer).TimestamptzValue()
	if err != nil || !t.Valid {
		return err
	}
	return inRange(t.Time, t.InfinityModifier, maxTime)
}

func inRange(t time.Time, infinity pgtype.InfinityModifier, end time.Time) error {
	switch {
	case infinity == pgtype.Infinity || infinity == pgtype.NegativeInfinity:
		return nil
	case infinity != pgtype.Finite || t.Before(minTime) || !t.Before(end):
		return ErrRange
	}
	return nil
}

// timeWithoutDate refuses a time.Time of a day that is none: what comes back is of
// 2000-01-01, time.Parse gives 0000-01-01, and time.Time{} is of 0001-01-01.
func timeWithoutDate(v any) error {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Struct || !r.CanConvert(timeType) {
		return nil
	}
	t := r.Convert(timeType).Interface().(time.Time)
	year, month, day := t.Date()
	_, offset := t.Zone()
	if year != 0 && year != 1 && year != 2000 || month != 1 || day != 1 || offset != 0 {
		return errTimeDay
	}
	return nil
}

func formOfTime(form []byte) error {
	if binary.BigEndian.Uint64(form) > daySeconds*1_000_000 { // 24:00 is one, too
		return ErrRange
	}
	return nil
}

func wholeMicros(v any) error {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Int64 && r.Int()%int64(time.Microsecond) != 0 {
		return errMicros
	}
	return nil
}

// plainAddress refuses an address that pgx would cut off or misread, or take for NULL.
func plainAddress(v any) error {
	r := reflect.ValueOf(v)
	switch {
	case r.CanConvert(reflect.TypeFor[netip.Addr]()):
		if r.Convert(reflect.TypeFor[netip.Addr]()).Interface().(netip.Addr).Zone() != "" {
			return errZone
		}
	case r.CanConvert(reflect.TypeFor[netip.Prefix]()):
		if p := r.Convert(reflect.TypeFor[netip.Prefix]()).Interface().(netip.Prefix); !p.IsValid() && p != (netip.Prefix{}) {
			return errMask
		}
	case r.CanConvert(reflect.TypeFor[net.IPNet]()):
		n := r.Convert(reflect.TypeFor[net.IPNet]()).Interface().(net.IPNet)
		if _, bits := n.Mask.Size(); bits == 0 || bits != 8*len(n.IP) {
			return errMask
		}
		return fourBytes(n.IP)
	case r.Kind() == reflect.Slice && r.CanConvert(reflect.TypeFor[net.IP]()):
		return fourBytes(r.Convert(reflect.TypeFor[net.IP]()).Interface().(net.IP))
	}
	return nil
}

func fourBytes(ip net.IP) error {
	if len(ip) == net.IPv6len && ip.To4() != nil {
		return errFourInIP
	}
	return nil
}

func plainNetwork(v any) error {
	if err := plainAddress(v); err != nil {
		return err
	}
	p, err := v.(pgtype.NetipPrefixValuer).NetipPrefixValue()
	if err == nil && p != p.Masked() {
		return errMask
	}
	return err
}

func formOfSize(n int) func([]byte) error {
	return func(form []byte) error {
		if len(form) != n {
			return errSize
		}
		return nil
	}
}

func formOfBits(form []byte) error {
	n, bits := int64(int32(binary.BigEndian.Uint32(form))), form[4:]
	if n < 0 || int64(len(bits)) != (n+7)/8 || n%8 != 0 && bits[len(bits)-1]&(0xff>>(n%8)) != 0 {
		return errBits
	}
	return nil
}

// floats returns the numbers of a geometric value.
func floats(form []byte) []float64 {
	all := make([]float64, len(form)/8)
	for i := range all {
		all[i] = math.Float64frombits(binary.BigEndian.Uint64(form[8*i:]))
	}
	return all
}

// formOfBox refuses corners that PostgreSQL would exchange: the upper right one is
// first.
func formOfBox(form []byte) error {
	if f := floats(form); f[0] < f[2] || f[1] < f[3] {
		return errGeometry
	}
	return nil
}

func formOfLine(form []byte) error {
	if f := floats(form); f[0] == 0 && f[1] == 0 {
		return errGeometry
	}
	return nil
}

func formOfCircle(form []byte) error {
	if floats(form)[2] < 0 {
		return errGeometry
	}
	return nil
}

// formOfPoints refuses a list of no points, whose number is at an offset.
func formOfPoints(at int) func([]byte) error {
	return func(form []byte) error {
		if binary.BigEndian.Uint32(form[at:]) == 0 {
			return errGeometry
		}
		return nil
	}
}

// formOfTSVector refuses lexemes and positions that PostgreSQL would sort, merge or
// not take.
func formOfTSVector(form []byte) error {
	const mostLexeme, mostPositions = 2046, 255
	last, rest := "", form[4:]
	for range binary.BigEndian.Uint32(form) {
		word, after, ok := bytes.Cut(rest, []byte{0})
		if !ok || len(after) < 2 || !utf8.Valid(word) || string(word) <= last || len(word) > mostLexeme {
			return errLexemes
		}
		n := int(binary.BigEndian.Uint16(after))
		if after = after[2:]; n > mostPositions || len(after) < 2*n {
			return errLexemes
		}
		before := uint16(0)
		for i := range n {
			position := binary.BigEndian.Uint16(after[2*i:]) & 0x3fff
			if position <= before {
				return errLexemes
			}
			before = position
		}
		last, rest = string(word), after[2*n:]
	}
	if len(rest) > 0 { // a zero byte in a word
		return errLexemes
	}
	return nil
}

// formOfRange refuses a lower bound above the upper one.
func formOfRange(compare func(a, b []byte) int) func([]byte) error {
	const empty, lowerInfinite, upperInfinite = 0x01, 0x08, 0x10
	return func(form []byte) error {
		if form[0]&(empty|lowerInfinite|upperInfinite) != 0 {
			return nil
		}
		n := 5 + binary.BigEndian.Uint32(form[1:])
		if compare(form[5:n], form[n+4:]) > 0 {
			return errOrder
		}
		return nil
	}
}

// compareIntegers compares integers of 4 or 8 bytes.
func compareIntegers(a, b []byte) int {
	sign := func(b []byte) string { return string(b[0]^0x80) + string(b[1:]) }
	return strings.Compare(sign(a), sign(b))
}

func compareNumerics(a, b []byte) int {
	x, y := newOrderedNumeric(a), newOrderedNumeric(b)
	if x.rank != y.rank || x.rat == nil {
		return x.rank - y.rank
	}
	return x.rat.Cmp(y.rat)
}

// orderedNumeric is a numeric that can be compared: rank is that of infinities and
// NaN, which is the greatest.
type orderedNumeric struct {
	rank int
	rat  *big.Rat // nil if it is not finite
}

func newOrderedNumeric(form []byte) (o orderedNumeric) {
	v, err := pgtype.NumericCodec{}.DecodeValue(pgtype.NewMap(), pgtype.NumericOID, pgtype.BinaryFormatCode, form)
	n, ok := v.(pgtype.Numeric)
	switch {
	case err != nil || !ok || n.NaN:
		o.rank = 2
	case n.InfinityModifier != pgtype.Finite:
		o.rank = int(n.InfinityModifier)
	default:
		o.rat = new(big.Rat).SetInt(n.Int)
		scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n.Exp, -n.Exp))), nil))
		if n.Exp < 0 {
			scale.Inv(scale)
		}
		o.rat.Mul(o.rat, scale)
	}
	return o
}

// checkShape refuses a pgtype.Array whose elements are not as many as its dimensions
// say: pgx would drop some, or panic.
func checkShape(v reflect.Value) error {
	const mostDimensions = 6
	if v.Kind() != reflect.Struct {
		return nil
	}
	elements, dims := v.FieldByName("Elements"), v.FieldByName("Dims")
	if !elements.IsValid() || !dims.IsValid() || dims.Type() != reflect.TypeFor[[]pgtype.ArrayDimension]() || dims.IsNil() && elements.Len() == 0 {
		return nil
	}
	n := min(dims.Len(), 1)
	for _, d := range dims.Interface().([]pgtype.ArrayDimension) {
		if d.Length < 0 {
			return errShape
		}
		n *= int(d.Length)
	}
	if n != elements.Len() || n == 0 && dims.Len() > 1 || dims.Len() > mostDimensions {
		return errShape
	}
	return nil
}

// isNested reports whether t is a slice of slices, other than of bytes.
func isNested(t reflect.Type) bool {
	return isList(t) && isList(t.Elem()) && !CustomForm(t) && !CustomForm(t.Elem())
}

func isList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8
}

// flatten returns the array that nested slices stand for, and refuses those that are
// not rectangular. pgx itself looks at that only for the first value of a type, and
// takes such slices for a plain one after another type came before them.
func flatten(v reflect.Value) (a pgtype.Array[any], err error) {
	if v.IsNil() {
		return a, nil
	}
	a.Valid = true
	var add func(v reflect.Value, depth int) error
	add = func(v reflect.Value, depth int) error {
		if !isList(v.Type()) {
			a.Elements = append(a.Elements, v.Interface())
			return nil
		}
		if depth == len(a.Dims) {
			a.Dims = append(a.Dims, pgtype.ArrayDimension{Length: int32(v.Len()), LowerBound: 1})
		}
		if v.Len() != int(a.Dims[depth].Length) || v.Len() == 0 && depth > 0 {
			return errShape
		}
		for i := range v.Len() {
			if err := add(v.Index(i), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(v, 0); err != nil {
		return a, err
	}
	return a, checkShape(reflect.ValueOf(a))
}

// narrow is the codec of a type that holds less than those of its class.
type narrow struct {
	Codec
	pg Type
}

func (c narrow) Encode(m *Map, dst []byte, field any) ([]byte, bool, error) {
	out, null, err := c.Codec.Encode(m, dst, field)
	if err == nil && !null {
		err = c.pg.checkNarrow(out[len(dst):])
	}
	if err != nil {
		return dst, false, err
	}
	return out, null, nil
}

// checkNarrow refuses a sealed form of the class that the named type can not hold.
func (p Type) checkNarrow(form []byte) error {
	if p.narrow == "" {
		return nil
	}
	if !p.IsArray() {
		return p.narrowElement(form)
	}
	for rest := form[12+8*binary.BigEndian.Uint32(form):]; len(rest) > 0; {
		n := int32(binary.BigEndian.Uint32(rest))
		if rest = rest[4:]; n < 0 { // NULL
			continue
		}
		if err := p.narrowElement(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (p Type) narrowElement(form []byte) error {
	const mostName = 63 // bytes, after which PostgreSQL cuts a name off
	if p.narrow == "name" {
		if len(form) > mostName {
			return ErrRange
		}
		return nil
	}
	limit := int64(math.MaxInt32)
	if p.narrow == "int2" {
		limit = math.MaxInt16
	}
	if n := int64(binary.BigEndian.Uint64(form)); n > limit || n < -limit-1 {
		return ErrRange
	}
	return nil
}
