package ff1

import "encoding/binary"

// lane is one value of a batch. The names are those of crypt64.
type lane struct {
	x            []uint16
	a, b, hi, lo uint64
	in, out      [blockSize]byte
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
// one before, and most of all for the block that two words were just stored
// to; the processor fills that time with the other lanes, as long as no lane's
// store stands right before its own load.
func (s *state) cryptLanes(values [][]uint16, tweaks [][]byte, decrypt bool) {
	lanes := s.lanes[:len(values)]
	for j := range lanes {
		l := &lanes[j]
		l.x = values[j]
		l.a, l.b = num64(l.x[:s.u], s.radix), num64(l.x[s.u:], s.radix)
		if decrypt {
			l.a, l.b = l.b, l.a
		}
		s.setTweak(tweaks[j])
		l.hi, l.lo = s.prefix()
	}
	shift := uint(8 * s.b)
	for step := range rounds {
		i := uint64(roundOf(step, decrypt))
		m := &s.mod64[i&1]
		for j := range lanes {
			l := &lanes[j]
			binary.BigEndian.PutUint64(l.in[:8], l.hi^i>>(64-shift))
			binary.BigEndian.PutUint64(l.in[8:], l.lo^i<<shift^l.b)
		}
		for j := range lanes {
			s.block.Encrypt(lanes[j].out[:], lanes[j].in[:])
		}
		for j := range lanes {
			l := &lanes[j]
			y, multiple := m.divide(l.out[:], shift <= 32)
			l.a, l.b = l.b, m.add(l.a, y, multiple, decrypt)
		}
	}
	for j := range lanes {
		l := &lanes[j]
		if decrypt {
			l.a, l.b = l.b, l.a
		}
		str64(l.x[:s.u], l.a, s.radix, s.inverse)
		str64(l.x[s.u:], l.b, s.radix, s.inverse)
		*l = lane{}
	}
}
