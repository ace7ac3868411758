package policy

import (
	"errors"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Whatever a text is, it is refused in words or decides; and a policy that is taken
// says the same twice.
func FuzzPolicy(f *testing.F) {
	for _, c := range refusals() {
		f.Add([]byte(c.text), uint8(c.kind), "ab/c", "a*")
	}
	f.Add([]byte(tenStatements()), uint8(Bucket), "logs/é", "x")
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},"NotAction":"s3:*","NotResource":"arn:aws:s3:::b/${aws:PrincipalTag/a:b, 'x'}?*","Condition":{"ForAnyValue:ArnLikeIfExists":{"aws:PrincipalArn":"arn:aws:iam::*:user/${aws:username}"}}}}`), uint8(Bucket), "k", "v")
	f.Fuzz(func(t *testing.T, text []byte, kind uint8, key, value string) {
		p, err := Parse(text, Kind(kind%4))
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) || refused.Message == "" || errs.KindOf(err) != errs.Invalid {
				t.Fatalf("%#v", err)
			}
			return
		}
		if p.WithoutPublic().Public() {
			t.Fatal("public without what is public")
		}
		_ = p.CheckBucket(key)
		_ = p.Principals()
		for _, who := range []*Who{nil, {Type: UserPrincipal, Account: testAccount, ID: "canon", ARN: value, UserID: "u", User: value}} {
			q := &Question{Action: GetObject, Bucket: "b", Key: key, Principal: who, Conditions: every{value}}
			effect, by := p.Decide(q)
			if (by == nil) != (effect == None) {
				t.Fatalf("%v by %v", effect, by)
			}
			if again, _ := p.Decide(q); again != effect {
				t.Fatalf("%v, then %v", effect, again)
			}
			if less, _ := p.WithoutPublic().Decide(q); less > effect {
				t.Fatalf("%v, without public statements %v", effect, less)
			}
		}
	})
}

// every is a request that has the same value for every key.
type every struct{ value string }

func (every) Count(*Key) int           { return 1 }
func (e every) Value(*Key, int) string { return e.value }
