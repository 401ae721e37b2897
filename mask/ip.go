package mask

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync"
)

// buildIP keeps prefixes (Xu, Fan, Ammar, Moon: Prefix-Preserving IP Address
// Anonymization, ICNP 2002): a bit is flipped or not by what AES says of the bits
// before it, so that addresses that share a prefix of n bits share one of n bits
// afterwards. Their Crypto-PAn fills the block up with secret bits, and so often asks
// AES the same for several lengths of one address: of addresses of which 16 bits are
// kept, one in 150 would stay what it is. Here a one and zeros follow the prefix, so
// that no two prefixes share a block.
func buildIP(b *builder) {
	keep4, keep6 := int(b.number("keep", 0, 0, 31)), int(b.number("keep6", 0, 0, 127))
	key, err := b.m.keys.derive(b.domain(), "ip/1", 32)
	var flips *prefixFlips
	if err == nil {
		flips, err = newPrefixFlips(key)
	}
	if err != nil {
		b.fail("", err.Error(), "")
		return
	}
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) {
		a, ok := parseAddress(src)
		if !ok {
			return nil, false
		}
		keep := keep6
		if a.size == 4 {
			keep = keep4
		}
		bits, network := 8*a.size, a.network()
		if a.prefix >= 0 && a == network {
			bits = a.prefix
		}
		flips.crypt(a.bytes[:a.size], keep, bits)
		if a.prefix >= 0 && bits == 8*a.size && a.prefix < bits && a == a.network() {
			// A host became the network's address, which is the network's result.
			// The one that host would have is free: that of the network as a host.
			a = network
			flips.crypt(a.bytes[:a.size], keep, bits)
		}
		return a.append(dst), true
	}
	p := b.bijective("IPv4 and IPv6 addresses (in the spelling of RFC 5952) without a zone, with or without a prefix length", 0, // networks of few bits hide few
		"which addresses share how long a prefix, so that one known pair shows how its neighbours begin", "the prefix length after /, and that a network is one, whose bits after the prefix stay zero")
	if keep4 > 0 {
		p.Visible = append(p.Visible, "the first "+strconv.Itoa(keep4)+" bits of IPv4")
	}
	if keep6 > 0 {
		p.Visible = append(p.Visible, "the first "+strconv.Itoa(keep6)+" bits of IPv6")
	}
	p.SameLength, p.MaxLen, p.Alphabet = false, len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), "[0-9a-f.:/]"
	p.Types = append([]string{"inet", "cidr"}, textTypes...)
}

type prefixFlips struct{ pool sync.Pool } // of *flipState; its New has the key

type flipState struct {
	block   cipher.Block
	in, out [aes.BlockSize]byte
}

// newPrefixFlips takes an AES-256 key.
func newPrefixFlips(key []byte) (*prefixFlips, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &prefixFlips{sync.Pool{New: func() any { return &flipState{block: block} }}}, nil
}

// crypt changes the bits from..to-1 of an address of 4 or 16 bytes.
func (p *prefixFlips) crypt(address []byte, from, to int) {
	s := p.pool.Get().(*flipState)
	defer p.pool.Put(s)
	var hi, lo uint64 // the address from the top
	if len(address) == 4 {
		hi = uint64(binary.BigEndian.Uint32(address)) << 32
	} else {
		hi, lo = binary.BigEndian.Uint64(address), binary.BigEndian.Uint64(address[8:])
	}
	var flipHi, flipLo uint64
	for i := from; i < to; i++ {
		maskHi, maskLo := prefixMask(i)
		oneHi, oneLo := uint64(1)<<63>>i, uint64(0)
		if i >= 64 {
			oneLo = 1 << (127 - i)
		}
		binary.BigEndian.PutUint64(s.in[:], hi&maskHi|oneHi)
		binary.BigEndian.PutUint64(s.in[8:], lo&maskLo|oneLo)
		s.block.Encrypt(s.out[:], s.in[:])
		flip := uint64(s.out[0] >> 7)
		if i < 64 {
			flipHi |= flip << (63 - i)
		} else {
			flipLo |= flip << (127 - i)
		}
	}
	if len(address) == 4 {
		binary.BigEndian.PutUint32(address, uint32((hi^flipHi)>>32))
		return
	}
	binary.BigEndian.PutUint64(address, hi^flipHi)
	binary.BigEndian.PutUint64(address[8:], lo^flipLo)
}

// prefixMask has the first n of 128 bits set.
func prefixMask(n int) (hi, lo uint64) {
	if n < 64 {
		return ^(^uint64(0) >> n), 0
	}
	return ^uint64(0), ^(^uint64(0) >> (n - 64))
}

// address is an IP address, or a network.
type address struct {
	bytes  [16]byte
	size   int  // 4 or 16
	mapped bool // an IPv4 address written as ::ffff:1.2.3.4
	prefix int  // the number after /, or -1
}

const maxIP = 64 // bytes of a value

func parseAddress(v []byte) (a address, ok bool) {
	if len(v) > maxIP {
		return a, false
	}
	a.prefix = -1
	for i, c := range v {
		if c == '/' {
			if a.prefix, ok = decimalDigits(v[i+1:]); !ok || len(v)-i > 4 || v[i+1] == '0' && len(v)-i > 2 {
				return a, false
			}
			v = v[:i]
			break
		}
	}
	if a.parse4(v) {
		return a, a.prefix <= 32
	}
	// This allocates: netip reads strings.
	ip, err := netip.ParseAddr(string(v))
	if err != nil || !ip.Is6() || ip.Zone() != "" {
		return a, false
	}
	a.bytes, a.size = ip.As16(), 16
	if a.mapped = ip.Is4In6(); a.mapped {
		if a.prefix >= 0 {
			return a, false
		}
		a.size = 4
		copy(a.bytes[:], a.bytes[12:])
	}
	return a, a.prefix <= 128
}

func (a *address) parse4(v []byte) bool {
	part, digits, n := 0, 0, 0
	for i := 0; i <= len(v); i++ {
		switch {
		case i == len(v) || v[i] == '.':
			if digits == 0 || part > 3 || n > 255 {
				return false
			}
			a.bytes[part] = byte(n)
			part, digits, n = part+1, 0, 0
		case !isDigit(v[i]) || digits == 3 || digits == 1 && n == 0:
			return false
		default:
			n, digits = 10*n+int(v[i]-'0'), digits+1
		}
	}
	a.size = 4
	return part == 4
}

// network returns the address with all bits after the prefix zero.
func (a address) network() address {
	for i := max(0, a.prefix); i < 8*a.size; i++ {
		a.bytes[i/8] &^= 0x80 >> (i % 8)
	}
	return a
}

func (a *address) append(dst []byte) []byte {
	switch {
	case a.mapped:
		dst = netip.AddrFrom4([4]byte(a.bytes[:4])).AppendTo(append(dst, "::ffff:"...))
	case a.size == 4:
		dst = netip.AddrFrom4([4]byte(a.bytes[:4])).AppendTo(dst)
	default:
		dst = netip.AddrFrom16(a.bytes).AppendTo(dst)
	}
	if a.prefix >= 0 {
		dst = strconv.AppendInt(append(dst, '/'), int64(a.prefix), 10)
	}
	return dst
}
