package ff1

import "encoding/binary"

// lane is one value of a batch. The names are those of crypt64.
type lane struct {
	x        []uint16
	a, b, lo uint64
	number   uint64
	in, out  [blockSize]byte
}

// batch encrypts or decrypts values in place, which are valid.
func (s *state) batch(values [][]uint16, tweaks [][]byte, decrypt bool) {
	for len(values) > 0 {
		s.setLength(len(values[0]))
		n := 1
		if s.words == width64 {
			for n < min(len(values), len(s.lanes)) && len(values[n]) == s.n {
				n++
			}
		}
		if n == 1 {
			s.crypt(values[0], tweaks[0], decrypt)
		} else {
			s.cryptLanes(values[:n], tweaks[:n], decrypt)
		}
		values, tweaks = values[n:], tweaks[n:]
	}
}

// cryptLanes is crypt64 for several values at a time. Each round waits for the
// one before, and most of all for the block that a word was just stored to; the processor fills that time with the other lanes, as long as no lane's
// store stands right before its own load.
func (s *state) cryptLanes(values [][]uint16, tweaks [][]byte, decrypt bool) {
	lanes := s.lanes[:len(values)]
	for j := range lanes {
		l := &lanes[j]
		l.x = values[j]
		left, right := num64(l.x[:s.u], s.radix), num64(l.x[s.u:], s.radix)
		l.a, l.b, l.number = s.mod64[0].fraction(left), s.mod64[1].fraction(right), right
		if decrypt {
			l.a, l.b, l.number = l.b, l.a, left
		}
		s.setTweak(tweaks[j])
		binary.BigEndian.PutUint64(l.in[:8], s.hi)
		l.lo = s.lo
	}
	shift, moduli := 8*s.b, &s.mod64
	if decrypt {
		moduli = &s.minus64
	}
	for step := range rounds {
		i := uint64(roundOf(step, decrypt))
		m := &moduli[i&1]
		for j := range lanes {
			l := &lanes[j]
			binary.BigEndian.PutUint64(l.in[8:], l.lo^i<<shift^l.number)
		}
		for j := range lanes {
			s.block.Encrypt(lanes[j].out[:], lanes[j].in[:])
		}
		for j := range lanes {
			l := &lanes[j]
			l.a, l.b = l.b, l.a+m.block(l.out[:], shift <= 32)
			l.number = m.number(l.b)
		}
	}
	for j := range lanes {
		l := &lanes[j]
		if decrypt {
			l.a, l.b = l.b, l.a
		}
		digits64(l.x[:s.u], l.a, s.radix)
		digits64(l.x[s.u:], l.b, s.radix)
		*l = lane{}
	}
}
