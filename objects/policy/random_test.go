package policy

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maker makes random policies and questions of few words, so that they meet.
type maker struct{ *rand.Rand }

func (m maker) of(words ...string) string { return words[m.IntN(len(words))] }

// some returns one to three of what is made, as a list or, if one, as itself.
func (m maker) some(make func() string) any {
	n := 1 + m.IntN(3)
	if n == 1 && m.IntN(2) == 0 {
		return make()
	}
	list := []any{}
	for range n {
		list = append(list, make())
	}
	return list
}

func (m maker) glob() string {
	var b strings.Builder
	for range m.IntN(6) {
		b.WriteString(m.of("a", "b", "é", "/", "*", "?", "*", "A", "${aws:username}", "${s3:prefix}", "${*}", "${aws:PrincipalTag/x, 'a'}", "$"))
	}
	return b.String()
}

func (m maker) plain() string {
	var b strings.Builder
	for range m.IntN(7) {
		b.WriteString(m.of("a", "b", "é", "/", "A", "*", "a", "b"))
	}
	return b.String()
}

const (
	testAccount  = "123456789012"
	otherAccount = "210987654321"
)

func (m maker) principal() any {
	if m.IntN(4) == 0 {
		return "*"
	}
	return map[string]any{m.of("AWS", "AWS", "CanonicalUser"): m.some(func() string {
		return m.of("canon", "other", "AIDA1")
	})} // ids are the only ones that both types have
}

func (m maker) awsPrincipal() any {
	return map[string]any{"AWS": m.some(func() string {
		return m.of("*", testAccount, otherAccount, "arn:aws:iam::"+testAccount+":root", "arn:aws:iam::"+testAccount+":user/ab",
			"arn:aws:iam::"+testAccount+":role/r", "arn:aws:sts::"+testAccount+":assumed-role/r/s", "canon", "AIDA1")
	})}
}

func (m maker) condition() (operator, key string, values any) {
	set := m.of("", "", "ForAllValues:", "ForAnyValue:")
	exists := m.of("", "", "IfExists")
	switch m.IntN(8) {
	case 0:
		return set + m.of("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase") + exists,
			m.of("aws:username", "aws:UserAgent", "AWS:TagKeys"), m.some(m.glob)
	case 1:
		return set + m.of("StringLike", "StringNotLike") + exists, m.of("aws:TagKeys", "aws:UserAgent", "aws:Referer"), m.some(m.glob)
	case 2:
		return set + m.of("NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals") + exists,
			"s3:signatureAge", m.some(func() string { return m.of("1", "2.5", "-3", "1.0") })
	case 3:
		return set + m.of("DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals") + exists,
			"aws:CurrentTime", m.some(func() string {
				return m.of("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2027-01-01T00:00:00Z")
			})
	case 4:
		return set + m.of("IpAddress", "NotIpAddress") + exists, "aws:SourceIp",
			m.some(func() string { return m.of("10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0", "10.1.2.3/32") })
	case 5:
		return set + m.of("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike") + exists, "aws:PrincipalArn",
			m.some(func() string {
				return m.of("arn:aws:iam::*:user/*", "arn:aws:iam::"+testAccount+":user/${aws:username}", "arn:*:sts::*:*", "*", "arn:aws:*::"+testAccount+":r??t")
			})
	case 6:
		return "Null", m.of("aws:UserAgent", "aws:TagKeys", "aws:username"), m.some(func() string { return m.of("true", "false") })
	default:
		return set + m.of("Bool", "BinaryEquals") + exists, "aws:SecureTransport", m.some(func() string { return m.of("true", "TRUE=") })
	}
}

func (m maker) policy(kind Kind) string {
	var statements []any
	for range 1 + m.IntN(4) {
		s := map[string]any{"Effect": m.of("Allow", "Allow", "Deny")}
		s[m.of("Action", "Action", "NotAction")] = m.some(func() string {
			return m.of("s3:GetObject", "s3:*", "*", "S3:get*", "s3:PutObject", "s3:List*", "s3:?utObject", "s3:ListBucket")
		})
		s[m.of("Resource", "Resource", "NotResource")] = m.some(func() string {
			return m.of("arn:aws:s3:::", "arn:aws:s3:::", "arn:aws:s3:::ab/") + m.of("a", "b", "*", "?") + m.glob()
		})
		if kind == Bucket {
			name := "Principal"
			if s["Effect"] == "Deny" {
				name = m.of(name, "NotPrincipal")
			}
			if s[name] = m.principal(); m.IntN(2) == 0 {
				s[name] = m.awsPrincipal()
			}
		}
		conditions := map[string]any{}
		for range m.IntN(3) {
			operator, key, values := m.condition()
			conditions[operator] = map[string]any{key: values}
		}
		if len(conditions) > 0 {
			s["Condition"] = conditions
		}
		statements = append(statements, s)
	}
	text, err := json.Marshal(map[string]any{"Version": m.of("2012-10-17", "2012-10-17", "2008-10-17"), "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (m maker) question() *Question {
	q := &Question{
		Action: []Action{OtherAction, GetObject, PutObject, ListBucket, ListBucketVersions, GetBucketACL}[m.IntN(6)],
		Bucket: m.of("ab", "a", "b", "abc"), Key: m.plain(),
	}
	f := facts{}
	maybe := func(key string, make func() string) {
		for range m.IntN(3) - m.IntN(2) {
			f[key] = append(f[key], make())
		}
	}
	maybe("aws:useragent", m.plain)
	maybe("aws:referer", m.plain)
	maybe("aws:tagkeys", m.plain)
	maybe("s3:prefix", m.plain)
	maybe("s3:signatureage", func() string { return m.of("1", "2.5", "2", "-3", "x", "9") })
	maybe("aws:currenttime", func() string { return m.of("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "x") })
	maybe("aws:sourceip", func() string { return m.of("10.1.2.3", "11.0.0.1", "2001:db8::1", "::ffff:10.1.2.3", "x") })
	maybe("aws:securetransport", func() string { return m.of("true", "false", "TRUE") })
	q.Conditions = f
	switch m.IntN(5) {
	case 0: // anonymous
	case 1:
		q.Principal = &Who{Type: AccountPrincipal, Account: testAccount, ID: "canon", ARN: "arn:aws:iam::" + testAccount + ":root", UserID: testAccount}
	case 2:
		q.Principal = &Who{Type: RolePrincipal, Account: testAccount, ID: "canon", ARN: "arn:aws:sts::" + testAccount + ":assumed-role/r/s",
			Role: "arn:aws:iam::" + testAccount + ":role/r", UserID: "AROA1:s"}
	case 3:
		q.Principal = &Who{Type: UserPrincipal, Account: otherAccount, ID: "other", ARN: "arn:aws:iam::" + otherAccount + ":user/a", UserID: "AIDA2", User: "a"}
	default:
		q.Principal = &Who{Type: UserPrincipal, Account: testAccount, ID: "canon", ARN: "arn:aws:iam::" + testAccount + ":user/ab", UserID: "AIDA1", User: "ab"}
	}
	return q
}

// Decide says what an evaluator says that was written apart from it and is as slow
// as it is simple. Every effect is met, and often enough to mean something.
func TestDecideAgainstSlow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TROUPE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	m := maker{rand.New(rand.NewPCG(seed, 1))}
	var met [Deny + 1]int
	taken := 0
	for range 250 {
		kind := []Kind{Bucket, Identity}[m.IntN(2)]
		text := m.policy(kind)
		p, err := Parse([]byte(text), kind)
		if err != nil {
			continue // which ones are refused is another test's
		}
		taken++
		for range 12 {
			q := m.question()
			effect, by := p.Decide(q)
			want := slowDecide(text, q)
			if effect != want || (by == nil) != (effect == None) {
				t.Fatalf("TROUPE_SEED=%d: %s by %v, want %s\n%s\n%+v\n%+v", seed, effect, by, want, text, q, q.Principal)
			}
			met[effect]++
		}
	}
	t.Logf("%d policies, effects %v", taken, met)
	if taken < 80 || met[None] < 50 || met[AllowAccount] == 0 || met[Allow] < 20 || met[Deny] < 20 {
		t.Fatalf("TROUPE_SEED=%d: %d policies, effects %v: too few to say anything", seed, taken, met)
	}
}
