// Package dict holds the names and places that package mask draws from. They are
// frozen: a list that changes is another version, under another folder, as what was
// drawn from it has to stay.
package dict

import (
	"embed"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Version names the lists in the derivation of keys.
const Version = "1"

// Locale is a language as it is written in some countries, and what is usual there.
// It must not be changed.
type Locale struct {
	Name string
	// The templates of a person's name, of a street with a number and of an
	// address, with {g}iven name, {f}amily name, {s}treet, {n}umber, {t} the
	// street with its number, {c}ity and {p}ostcode.
	NameTemplate, StreetTemplate, AddressTemplate string
	Given, Surnames, Streets                      []string
	Places                                        []Place
}

// Place is a city, what is around it, and how its postcodes look: # is a digit, @ a
// letter.
type Place struct{ City, Region, Postcode, Country string }

//go:embed v1/*.txt
var files embed.FS

// names are the locales. Those that share a script come after the one that stands for
// it.
var names = []string{"en", "de", "fr", "es", "el", "uk", "ar", "he", "hi", "zh", "ko"}

// Names returns the names of all locales. The slice must not be changed.
func Names() []string { return names }

// Get returns the locale of that name, or nil.
func Get(name string) *Locale { return all()[name] }

var all = sync.OnceValue(func() map[string]*Locale {
	m := make(map[string]*Locale, len(names))
	for _, name := range names {
		l, err := read(name)
		if err != nil {
			panic(err) // the files are part of the program, and tested
		}
		m[name] = l
	}
	return m
})

func read(name string) (*Locale, error) {
	data, err := files.ReadFile("v1/" + name + ".txt")
	if err != nil {
		return nil, err
	}
	lists := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if title, ok := strings.CutPrefix(line, "# "); ok {
			section = title
			continue
		}
		lists[section] = append(lists[section], line)
	}
	format := lists["format"]
	if len(format) != 3 || len(lists) != 5 {
		return nil, fmt.Errorf("dict: %s has other sections", name)
	}
	l := &Locale{Name: name, NameTemplate: format[0], StreetTemplate: format[1], AddressTemplate: format[2], Given: lists["given"], Surnames: lists["surname"], Streets: lists["street"]}
	for _, line := range lists["place"] {
		p := strings.Split(line, "|")
		if len(p) != 4 {
			return nil, fmt.Errorf("dict: %s: no place: %s", name, line)
		}
		l.Places = append(l.Places, Place{p[0], p[1], p[2], p[3]})
	}
	return l, nil
}

var scripts = []struct {
	table  *unicode.RangeTable
	locale string
}{
	{unicode.Greek, "el"}, {unicode.Cyrillic, "uk"}, {unicode.Arabic, "ar"}, {unicode.Hebrew, "he"}, {unicode.Devanagari, "hi"}, {unicode.Hangul, "ko"}, {unicode.Han, "zh"},
}

// ScriptOf returns the name of the locale for the script of the first letter of a
// value that has one of these scripts, else "en".
func ScriptOf(value []byte) string {
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		value = value[size:]
		if r < 0x370 {
			if unicode.IsLetter(r) {
				return "en"
			}
			continue
		}
		for _, s := range scripts {
			if unicode.Is(s.table, r) {
				return s.locale
			}
		}
	}
	return "en"
}
