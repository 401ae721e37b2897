#!/usr/bin/env python3
"""Prints golden.json, from SPEC.md and the documentation of the rules and not from
the Go code. It needs the package cryptography. golden.json is never written again
for a rule that exists: a result that changes is another version of the rule.

    python3 golden.py > golden.json
"""
import datetime, json, struct
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

EPOCH_KEY = bytes(range(32))
SUBJECT = b"42"
out = []


def pae(*parts):
    parts = [p.encode() if isinstance(p, str) else p for p in parts]
    return struct.pack(">I", len(parts)) + b"".join(struct.pack(">I", len(p)) + p for p in parts)


def key(domain, primitive, n):
    return HKDFExpand(hashes.SHA256(), n, pae("sealfield/v1/mask", domain, primitive)).derive(EPOCH_KEY)


def aes(k, block):
    return Cipher(algorithms.AES(k), modes.ECB()).encryptor().update(block)


class Draws:
    def __init__(self, domain, primitive, value):
        k = key(domain, primitive, 64)
        c = CMAC(algorithms.AES(k[:32]))
        c.update(value)
        tag = c.finalize()
        self.k, self.head, self.n, self.rest = k[32:], tag[:8], int.from_bytes(tag[8:], "big"), b""

    def bits(self, n):
        x = 0
        for _ in range(n // 16):
            if not self.rest:
                self.rest = aes(self.k, self.head + self.n.to_bytes(8, "big"))
                self.n = (self.n + 1) % 2**64
            x, self.rest = x << 16 | int.from_bytes(self.rest[:2], "big"), self.rest[2:]
        return x

    def below(self, n):
        return self.bits(64) * n >> 64


def ff1(k, radix, tweak, x):
    """NIST SP 800-38G, algorithm 7."""
    n = len(x)
    u, v = n // 2, n - n // 2
    a, b = x[:u], x[u:]

    def num(digits):
        r = 0
        for d in digits:
            r = r * radix + d
        return r

    def string(value, m):
        r = []
        for _ in range(m):
            value, d = divmod(value, radix)
            r.insert(0, d)
        return r

    width = ((radix**v - 1).bit_length() + 7) // 8
    d = 4 * ((width + 3) // 4) + 4
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256]) + struct.pack(">II", n, len(tweak))
    for i in range(10):
        q = tweak + bytes((-len(tweak) - width - 1) % 16) + bytes([i]) + num(b).to_bytes(width, "big")
        r = bytes(16)
        for j in range(0, len(p + q), 16):
            r = aes(k, bytes(s ^ t for s, t in zip(r, (p + q)[j : j + 16])))
        s = r
        for j in range(1, (d + 15) // 16):
            s += aes(k, bytes(s ^ t for s, t in zip(r, j.to_bytes(16, "big"))))
        m = u if i % 2 == 0 else v
        a, b = b, string((num(a) + int.from_bytes(s[:d], "big")) % radix**m, m)
    return a + b


def permute_number(domain, notation, tweak, x, n):
    """A permutation of the numbers below n."""
    if n < 1_000_000:
        mac = HMAC(key(domain, "permute/" + notation, 32), hashes.SHA256())
        mac.update(pae("permute/1", str(n), tweak))
        stream = Cipher(algorithms.AES(mac.finalize()), modes.CTR(bytes(16))).encryptor()
        table = list(range(n))
        for i in range(n - 1, 0, -1):
            limit = 2**32 // (i + 1) * (i + 1)
            w = limit
            while w >= limit:
                w = int.from_bytes(stream.update(bytes(4)), "big")
            j = w % (i + 1)
            table[i], table[j] = table[j], table[i]
        return table[x]
    k = 2 * (((n - 1).bit_length() + 31) // 32)
    radix = 2
    while radix**k < n:
        radix += 1
    while True:
        digits = []
        for _ in range(k):
            x, d = divmod(x, radix)
            digits.insert(0, d)
        x = 0
        for d in ff1(key(domain, "ff1/" + notation, 32), radix, tweak, digits):
            x = x * radix + d
        if x < n:
            return x


def permute_numerals(domain, notation, tweak, numerals, radixes):
    if len(set(radixes)) == 1 and radixes[0] ** len(radixes) >= 1_000_000:
        return ff1(key(domain, "ff1/" + notation, 32), radixes[0], tweak, numerals)
    x, n = 0, 1
    for d, r in zip(numerals, radixes):
        x, n = x * r + d, n * r
    x = permute_number(domain, notation, tweak, x, n)
    result = []
    for r in reversed(radixes):
        x, d = divmod(x, r)
        result.insert(0, d)
    return result


def add(rule, value, result):
    assert rule.split(",")[0]
    out.append([rule, value, result])


DIGITS, CAPITALS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def ints(s):
    return [int(c) for c in s]


def chars(digits):
    return "".join(map(str, digits))


BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"

# Draws.
for value in ["secret", "ünïcode", "a value that is longer than one block of AES", "sixteen bytes ..", "x"]:
    d = Draws("token", "token/1", value.encode())
    add("token", value, "".join(BASE32[d.bits(16) % 32] for _ in range(16)))
    d = Draws("customer.id", "hash/1", value.encode())
    add("hash,domain=customer.id", value, "".join("%x" % (d.bits(16) % 16) for _ in range(32)))
for value in ["Anne-Marie O'Neil, flat 12b", "山田 太郎", "Ünal"]:
    d, r = Draws("shape", "shape/1", value.encode()), ""
    for c in value:
        if c in DIGITS:
            r += str(d.bits(16) * 10 >> 16)
        elif c.isupper():
            r += chr(65 + (d.bits(16) * 26 >> 16))
        elif c.isascii() and not c.isalpha():
            r += c
        else:
            r += chr(97 + (d.bits(16) * 26 >> 16))
    add("shape", value, r)

# Addresses.
for value in ["ann@example.com", "Ann@Example.COM", "é@ü.example"]:
    local, host = value.rsplit("@", 1)
    host_lower = "".join(c.lower() if c.isascii() else c for c in host)
    d = Draws("customer.email", "email/1", (local + "@" + host_lower).encode())
    masked = "".join(BASE32[d.bits(16) % 32] for _ in range(16)) + "@"
    d = Draws("customer.email", "email/1", host_lower.encode())
    add("email,domain=customer.email", value, masked + "".join(BASE32[d.bits(16) % 32] for _ in range(8)) + ".example")
    add("email,at=keep,domain=customer.email", value, masked + host)

# Card numbers: what is kept is the tweak.
def luhn_ok(s):
    total = 0
    for i, c in enumerate(reversed(s)):
        x = int(c) * (1 + i % 2)
        total += x // 10 + x % 10
    return total % 10 == 0


for keep, first, last in [("bin6", 6, 0), ("last4", 1, 4), ("first", 1, 0)]:
    for value in ["4111111111111111", "378282246310005", "4222222222222", "6304000000000000000"]:
        end = value[len(value) - last :]
        free = ints(value[first : len(value) - last - 1])
        masked = value[:first] + chars(ff1(key("pan", "pan/1/" + keep, 32), 10, (value[:first] + end).encode(), free))
        [masked] = [masked + d + end for d in DIGITS if luhn_ok(masked + d + end)]
        add("pan" if keep == "bin6" else "pan,keep=" + keep, value, masked)

BOTH = "<[1-9][0-9]{5}>[0-9]{2-8}(luhn)<[0-9]{4}>"
for value in ["4222222222222", "4111111111111111", "6304000000000000000"]:
    free = ints(value[6:-5])
    free = permute_numerals("pan", BOTH, value[:6].encode() + bytes(len(free) + 1) + value[-4:].encode(), free, [10] * len(free))
    masked = value[:6] + chars(free)
    [masked] = [masked + d + value[-4:] for d in DIGITS if luhn_ok(masked + d + value[-4:])]
    add("pan,keep=both", value, masked)

# Social security numbers.
SSN = "(001-899!666)(01-99)(0001-9999)"
for value in ["123456789", "899999999"]:
    area, group, serial = int(value[:3]), int(value[3:5]), int(value[5:])
    numerals = [area - 1 - (area > 666), group - 1, serial - 1]
    area, group, serial = permute_numerals("ssn", SSN, bytes(9), numerals, [898, 99, 9999])
    area += 1
    area += area >= 666
    add("ssn", value, "%03d%02d%04d" % (area, group + 1, serial + 1))

# Phone numbers.
NO_SERVICE = "(200-999!211!311!411!511!611!711!811!911)"
AMERICAN, OTHER, LOCAL = "+1" + NO_SERVICE + NO_SERVICE + "[0-9]{4}", "+(cc)<[0-9]>[0-9]{4-13}", "<[1-9]>[0-9]{4-13}"
IN_SERVICE = [n for n in range(200, 1000) if n % 100 != 11]
for value in ["+12125550100", "+19999999999"]:
    numerals = [IN_SERVICE.index(int(value[2:5])), IN_SERVICE.index(int(value[5:8]))] + ints(value[8:])
    numerals = permute_numerals("phone", AMERICAN, b"+1" + bytes(10), numerals, [792, 792, 10, 10, 10, 10])
    add("phone", value, "+1%d%d%s" % (IN_SERVICE[numerals[0]], IN_SERVICE[numerals[1]], chars(numerals[2:])))
for value, kept in [("+4915112345678", 4), ("+353112345", 5), ("+390669821234", 4), ("+29012345", 5), ("01511234567", 1), ("0044 20 7946 0000", 1), ("12345", 1)]:
    skip = 0 if value[0] == "+" else len(value) - len(value.lstrip("0"))
    v = value[skip:].replace(" ", "")
    free = ints(v[kept:])
    if len(free) >= 6:
        free = ff1(key("phone", "phone/1", 32), 10, v[:kept].encode(), free)
    else:
        free = permute_numerals("phone", OTHER if v[0] == "+" else LOCAL, v[:kept].encode() + bytes(len(free)), free, [10] * len(free))
    masked = list(value[:skip] + v[:kept] + chars(free))
    add("phone", value, "".join(c if c == " " else masked.pop(0) for c in value))

# IBANs: letters stay letters. The class of each character is in the tweak.
IBAN = "<[A-Z]{2}>(mod97)[0-9|A-Z]{11-30}"


def iban_check(country, bban):
    return "%02d" % (98 - int("".join(str(int(c, 36)) for c in bban + country + "00")) % 97)


for value in ["GB82WEST12345698765432", "NO9386011117947", "FR1420041010050500013M02606"]:
    country, bban = value[:2], value[4:]
    classes = [DIGITS if c in DIGITS else CAPITALS for c in bban]
    tweak = country.encode() + bytes(2) + bytes(1 if c == DIGITS else 2 for c in classes)
    numerals = permute_numerals("iban", IBAN, tweak, [k.index(c) for k, c in zip(classes, bban)], [len(k) for k in classes])
    bban = "".join(k[x] for k, x in zip(classes, numerals))
    add("iban", value, country + iban_check(country, bban) + bban)

# National insurance numbers: walked until the prefix is one that is used.
FIRST, SECOND, LAST = "ABCEGHJKLMNOPRSTWXYZ", "ABCEGHJKLMNPRSTWXYZ", "ABCD"
NINO = "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]"
for i in range(60):
    value = "AB%06dC" % (i * 7919)
    v = value
    walked = 0
    while True:
        numerals = [FIRST.index(v[0]), SECOND.index(v[1])] + ints(v[2:8]) + [LAST.index(v[8])]
        x = permute_numerals("nino", NINO, bytes(9), numerals, [20, 19] + [10] * 6 + [4])
        v = FIRST[x[0]] + SECOND[x[1]] + chars(x[2:8]) + LAST[x[8]]
        walked += 1
        if v[:2] not in ["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"]:
            break
    if i < 2 or walked > 1:
        add("nino", value, v)

# UUIDs and MAC addresses.
UUID = "[0-9a-f]{12}<[0-9a-f]>[0-9a-f]{3}<[0-9a-f]>[0-9a-f]{15}"
for value in ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "00000000-0000-0000-0000-000000000000"]:
    h = value.replace("-", "")
    tweak = bytes(12) + h[12].encode() + bytes(3) + h[16].encode() + bytes(15)
    x = "".join("%x" % d for d in permute_numerals("uuid", UUID, tweak, [int(c, 16) for c in h[:12] + h[13:16] + h[17:]], [16] * 30))
    h = x[:12] + h[12] + x[12:15] + h[16] + x[15:]
    add("uuid", value, "-".join([h[:8], h[8:12], h[12:16], h[16:20], h[20:]]))
MAC = "<[0-9a-f]{6}>[0-9a-f]{6-10}"
h = "08002b010203"
x = "".join("%x" % d for d in permute_numerals("mac", MAC, h[:6].encode() + bytes(6), [int(c, 16) for c in h[6:]], [16] * 6))
add("mac", "08:00:2b:01:02:03", "08:00:2b:" + ":".join([x[:2], x[2:4], x[4:]]))

# Integers: FF1 and cycle walking, or a table.
for lo, hi, values in [(1, 2147483647, [1, 7, 2147483647]), (0, 999, [0, 999])]:
    notation = "int:%d..%d" % (lo, hi)
    for v in values:
        rule = "int" if lo == 1 else "int,hi=%d,lo=%d" % (hi, lo)
        add(rule, str(v), str(lo + permute_number("int", notation, b"", v - lo, hi - lo + 1)))

# IP addresses.
import ipaddress

k = key("ip", "ip/1", 32)
for value in ["192.0.2.17", "2001:db8::7:42"]:
    ip = ipaddress.ip_address(value)
    n, a, flips = ip.max_prefixlen, int(ip), 0
    for i in range(n):
        block = (a >> (n - i) << 1 | 1) << (127 - i)
        flips = flips << 1 | aes(k, block.to_bytes(16, "big"))[0] >> 7
    add("ip", value, str(ipaddress.ip_address((a ^ flips).to_bytes(n // 8, "big"))))

# Dates, and noise.
for rule, n, unit in [("date", 365, 1), ("date,days=30,weeks=yes", 4, 7)]:
    shift = Draws("date", "date/1/%d/%d" % (n, unit), SUBJECT).below(2 * n) - n
    shift += shift >= 0
    day = datetime.date(2024, 2, 29) + datetime.timedelta(days=shift * unit)
    add(rule, "2024-02-29", day.isoformat())
    add(rule, "2024-02-29T12:00:00Z", day.isoformat() + "T12:00:00Z")
small = [(n, 0, str(n)) for n in range(1, 9)] + [(-n, 3, "-0.%03d" % n) for n in range(1, 9)]
for percent, units, scale, value in [(10, 123456, 2, "1234.56"), (10, -7, 0, "-7"), (10, 999999999999999999, 0, "999999999999999999")] + [(p, *v) for p in (10, 100) for v in small]:
    u = abs(units)
    most = max(1, u * percent // 100)
    delta = Draws("noise", "noise/1/%d" % percent, value.encode()).below(2 * most) - most
    delta += delta >= 0
    if u + delta == 0:
        delta = most
    u += delta
    r = str(u).rjust(scale + 1, "0")
    r = r[: len(r) - scale] + ("." + r[len(r) - scale :] if scale else "")
    add("noise" if percent == 10 else "noise,percent=%d" % percent, value, ("-" if units < 0 else "") + r)

# Names and places.
import os

DICT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../internal/dict/v1/")


def lists(locale):
    sections, section = {}, None
    for line in open(DICT + locale + ".txt", encoding="utf-8").read().splitlines():
        if line.startswith("# "):
            section = sections.setdefault(line[2:], [])
        else:
            section.append(line)
    return sections


def person(rule, locale, value, drawn_from):
    l, d = lists(locale), Draws("person", "names/1", drawn_from)
    pick = lambda n: d.bits(32) * n >> 32
    fields = {"{g}": l["given"][pick(len(l["given"]))], "{f}": l["surname"][pick(len(l["surname"]))]}
    fields["{c}"], fields["{r}"], postcode, fields["{y}"] = l["place"][pick(len(l["place"]))].split("|")
    fields["{s}"] = l["street"][pick(len(l["street"]))]
    fields["{n}"] = str(1 + pick(199))
    fields["{p}"] = "".join(
        str(d.bits(16) * 10 >> 16) if c == "#" else "ABDEFGHJLNPQRSTUWXYZ"[d.bits(16) * 20 >> 16] if c == "@" else c for c in postcode
    )
    t = {"given": "{g}", "surname": "{f}", "name": l["format"][0], "street": l["format"][1], "address": l["format"][2]}
    t.update(city="{c}", region="{r}", postcode="{p}", country="{y}")
    r = t[rule.split(",")[0]].replace("{t}", l["format"][1])
    for k, v in fields.items():
        r = r.replace(k, v)
    add(rule, value, r)


for locale, value in [("en", "Ann Smith"), ("el", "Γιώργος"), ("uk", "Ольга"), ("ar", "محمد"), ("he", "משה"), ("hi", "राम"), ("zh", "王伟"), ("ko", "김민준")]:
    person("name", locale, value, value.encode())
    person("surname", locale, value, value.encode())
for locale in ["en", "de", "fr", "es", "el", "uk", "ar", "he", "hi", "zh", "ko"]:
    for rule in ["given,by=subject", "street", "city", "region", "postcode", "country", "address"]:
        person(rule + ",locale=" + locale, locale, "x", SUBJECT)

check = key("sealfield/check", "check/1", 8).hex()
print("[\n" + ",\n".join([json.dumps(["check", check])] + [json.dumps(l, ensure_ascii=False) for l in out]) + "\n]")
