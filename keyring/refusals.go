package keyring

import (
	"fmt"
	"strings"
)

// refusals is an error of many, such as one per key of a refresh. It keeps the
// first few and the number of the others: one cause can concern every key of a
// keyring, and its text goes into logs and probes.
type refusals struct {
	first []error
	more  int
}

const keptRefusals = 20

func (r *refusals) add(err error) {
	many, ok := err.(*refusals)
	switch {
	case err == nil:
	case ok:
		for _, e := range many.first {
			r.add(e)
		}
		r.more += many.more
	case len(r.first) < keptRefusals:
		r.first = append(r.first, err)
	default:
		r.more++
	}
}

// also returns an error that is a and b; nil is no error.
func also(a, b error) error {
	var r refusals
	r.add(a)
	r.add(b)
	return r.err()
}

// err returns r, its only error, or nil.
func (r *refusals) err() error {
	switch len(r.first) {
	case 0:
		return nil
	case 1:
		return r.first[0]
	}
	return r
}

func (r *refusals) Error() string {
	var text []string
	for _, err := range r.first {
		text = append(text, err.Error())
	}
	if r.more > 0 {
		text = append(text, andMore(r.more))
	}
	return strings.Join(text, "\n")
}

func (r *refusals) Unwrap() []error { return r.first }

func andMore(n int) string { return fmt.Sprintf("and %d more", n) }

// alarmsPerMinute bounds the alarms that name a key.
const alarmsPerMinute = 100

// alarm tells of a key that is refused, up to alarmsPerMinute times a minute.
func (kr *Keyring) alarm(err error) {
	kr.mu.Lock()
	named := kr.alarms.take(kr.mono(), alarmsPerMinute/60.0, alarmsPerMinute)
	if !named {
		kr.unnamed++
	}
	kr.mu.Unlock()
	if named {
		kr.log.Error("sealfield: key refused", "keyring", kr.name, "error", err)
	}
}

// alarmMore tells how many alarms there were that alarm has kept quiet about.
func (kr *Keyring) alarmMore() {
	kr.mu.Lock()
	n := kr.unnamed
	kr.unnamed = 0
	kr.mu.Unlock()
	if n > 0 {
		kr.log.Error("sealfield: more keys refused", "keyring", kr.name, "keys", n)
	}
}
