package ff1

import "encoding/binary"

// lane is one value of a batch, in one cache line. The names are those of crypt64.
type lane struct {
	in, out  [blockSize]byte
	a, b, lo uint64
	number   uint64
}

// batch encrypts or decrypts values in place, which are valid.
func (s *state) batch(values [][]uint16, tweaks [][]byte, decrypt bool) {
	for len(values) > 0 {
		n := together(s, values)
		if n == 1 {
			s.crypt(values[0], tweaks[0], decrypt)
		} else {
			lanes := s.lanes[:n]
			for j, x := range values[:n] {
				s.load(&lanes[j], num64(x[:s.u], s.radix), num64(x[s.u:], s.radix), tweaks[j], decrypt)
			}
			s.cryptLanes(lanes, decrypt)
			for j, x := range values[:n] {
				digits64(x[:s.u], lanes[j].a, s.radix)
				digits64(x[s.u:], lanes[j].b, s.radix)
			}
			clear(lanes)
		}
		values, tweaks = values[n:], tweaks[n:]
	}
}

// batchASCII is batch for characters of an alphabet that has only those of one byte.
func (s *state) batchASCII(alphabet *Alphabet, values, tweaks [][]byte, decrypt bool) {
	for len(values) > 0 {
		n := together(s, values)
		if s.words != width64 {
			s.numerals, _ = alphabet.appendNumerals(s.numerals[:0], values[0])
			s.crypt(s.numerals, tweaks[0], decrypt)
			alphabet.AppendText(values[0][:0], s.numerals)
			clear(s.numerals)
		} else {
			lanes := s.lanes[:n]
			for j, x := range values[:n] {
				left, _ := alphabet.number(x[:s.u], s.radix)
				right, _ := alphabet.number(x[s.u:], s.radix)
				s.load(&lanes[j], left, right, tweaks[j], decrypt)
			}
			s.cryptLanes(lanes, decrypt)
			for j, x := range values[:n] {
				alphabet.put(x[:s.u], lanes[j].a, s.radix)
				alphabet.put(x[s.u:], lanes[j].b, s.radix)
			}
			clear(lanes)
		}
		values, tweaks = values[n:], tweaks[n:]
	}
}

// together sets the length of the first value and returns how many, from it on, are
// done at a time.
func together[T uint16 | byte](s *state, values [][]T) int {
	s.setLength(len(values[0]))
	n := 1
	if s.words == width64 {
		for n < min(len(values), len(s.lanes)) && len(values[n]) == s.n {
			n++
		}
	}
	return n
}

// load puts a value of the length that is set into a lane.
func (s *state) load(l *lane, left, right uint64, tweak []byte, decrypt bool) {
	l.a, l.b, l.number = s.mod64[0].fraction(left), s.mod64[1].fraction(right), right
	if decrypt {
		l.a, l.b, l.number = l.b, l.a, left
	}
	s.setTweak(tweak)
	binary.BigEndian.PutUint64(l.in[:8], s.hi)
	l.lo = s.lo
}

// cryptLanes is crypt64 for several values at a time, which leaves the halves in a and
// b. Each round waits for the one before, and most of all for the block that a word was just
// stored to; the processor fills that time with the other lanes, as long as no lane's
// store stands right before its own load.
func (s *state) cryptLanes(lanes []lane, decrypt bool) {
	shift, moduli, block := 8*s.b, &s.mod64, s.block
	if decrypt {
		moduli = &s.minus64
	}
	for j := range lanes {
		lanes[j].store(uint64(roundOf(0, decrypt)) << shift)
	}
	for step := range rounds {
		for j := range lanes {
			l := &lanes[j]
			block.Encrypt(l.out[:], l.in[:])
		}
		m, next := &moduli[roundOf(step, decrypt)&1], uint64(roundOf(step+1, decrypt))<<shift
		if shift > 32 {
			for j := range lanes {
				l := &lanes[j]
				l.a, l.b = l.b, l.a+m.block12(l.out[:])
				l.number = m.number(l.b)
				l.store(next)
			}
			continue
		}
		for j := range lanes {
			l := &lanes[j]
			l.a, l.b = l.b, l.a+m.block8(binary.BigEndian.Uint64(l.out[:8]))
			l.number = m.number(l.b)
			l.store(next)
		}
	}
	if decrypt {
		for j := range lanes {
			lanes[j].a, lanes[j].b = lanes[j].b, lanes[j].a
		}
	}
}

// store makes the block of a round, whose number is shifted to its place. What follows the
// last round is of no use.
func (l *lane) store(round uint64) {
	binary.BigEndian.PutUint64(l.in[8:], l.lo^round^l.number)
}
