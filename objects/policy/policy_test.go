package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// refusal is a text that is no policy, with the words that it is refused in.
type refusal struct {
	kind                 Kind
	text, message, place string
}

// bucketStatement is a policy of one statement whose elements are these.
func bucketStatement(elements string) string {
	return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}`
}

func refusals() []refusal {
	const (
		who   = `"Effect":"Allow","Principal":"*"`
		get   = who + `,"Action":"s3:GetObject"`
		whole = get + `,"Resource":"arn:aws:s3:::b/*"`
	)
	condition := func(text string) string { return bucketStatement(whole + `,"Condition":` + text) }
	return []refusal{
		{Bucket, ``, "Policies must be valid JSON and the first byte must be '{'", ""},
		{Bucket, `[]`, "Policies must be valid JSON and the first byte must be '{'", ""},
		{Bucket, `{"Statement":[`, "This policy contains invalid Json", ""},
		{Bucket, `{} {}`, "This policy contains invalid Json", ""},
		{Bucket, "{\"Id\":\"\xff\"}", "This policy contains invalid Json", ""},
		{Bucket, `{"Version":"2012-10-17","Version":"2012-10-17"}`, "This policy contains invalid Json", "Version"},
		{Bucket, bucketStatement(whole + `,"Effect":"Deny"`), "This policy contains invalid Json", "Statement[0].Effect"},
		{Bucket, bucketStatement(whole + `,"Condition":{"Null":{"aws:Referer":[[[[["true"]]]]]}}`), "This policy contains invalid Json", "Statement[0].Condition.Null.aws:Referer[0][0][0][0]"},
		{Bucket, `{"Version":"2012-10-17"}`, "Missing required field Statement", ""},
		{Bucket, `{"Statement":[]}`, "Could not parse the policy: Statement is empty!", "Statement"},
		{Bucket, `{"Statement":["x"]}`, "Invalid policy syntax.", "Statement[0]"},
		{Bucket, `{"Version":"2020-01-01","Statement":[]}`, "The policy must contain a valid version string", "Version"},
		{Bucket, `{"Statements":[]}`, "Unknown field Statements", "Statements"},
		{Bucket, `{"statement":[]}`, "Unknown field statement", "statement"},
		{Bucket, bucketStatement(whole + `,"Resources":"x"`), "Unknown field Resources", "Statement[0].Resources"},
		{Bucket, bucketStatement(`"Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`), "Missing required field Effect", "Statement[0]"},
		{Bucket, bucketStatement(`"Effect":"allow"`), "Invalid effect: allow", "Statement[0].Effect"},
		{Bucket, bucketStatement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`), "Missing required field Principal", "Statement[0]"},
		{Bucket, bucketStatement(`"Effect":"Allow","NotPrincipal":"*"`), "Allow with NotPrincipal is not allowed", "Statement[0].NotPrincipal"},
		{Bucket, bucketStatement(`"Effect":"Deny","Principal":"*","NotPrincipal":"*"`), "Invalid policy syntax.", "Statement[0].NotPrincipal"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":"somebody"`), "Invalid principal in policy", "Statement[0].Principal"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":{}`), "Invalid principal in policy", "Statement[0].Principal"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":{"AWS":[]}`), "Invalid principal in policy", "Statement[0].Principal.AWS"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":{"GCP":"x"}`), "Invalid principal in policy", "Statement[0].Principal.GCP"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":{"AWS":["canon","arn:aws:iam::12345:root"]}`), "Invalid principal in policy", "Statement[0].Principal.AWS[1]"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/*"}`), "Invalid principal in policy", "Statement[0].Principal.AWS"},
		{Bucket, bucketStatement(`"Effect":"Allow","Principal":{"AWS":"arn:aws:s3:::b"}`), "Invalid principal in policy", "Statement[0].Principal.AWS"},
		{Bucket, bucketStatement(who), "Missing required field Action", "Statement[0]"},
		{Bucket, bucketStatement(who + `,"Action":"s3:GetObjekt"`), "Policy has invalid action", "Statement[0].Action"},
		{Bucket, bucketStatement(who + `,"Action":["s3:GetObject","GetObject"]`), "Policy has invalid action", "Statement[0].Action[1]"},
		{Bucket, bucketStatement(who + `,"Action":"s3:Fetch*"`), "Policy has invalid action", "Statement[0].Action"},
		{Bucket, bucketStatement(who + `,"Action":[]`), "Policy has invalid action", "Statement[0].Action"},
		{Bucket, bucketStatement(who + `,"Action":7`), "Policy has invalid action", "Statement[0].Action"},
		{Bucket, bucketStatement(get), "Missing required field Resource", "Statement[0]"},
		{Bucket, bucketStatement(get + `,"Resource":"b/*"`), "Policy has invalid resource", "Statement[0].Resource"},
		{Bucket, bucketStatement(get + `,"Resource":["arn:aws:s3:::b/*","arn:aws:sqs:::b/*"]`), "Policy has invalid resource", "Statement[0].Resource[1]"},
		{Bucket, bucketStatement(get + `,"Resource":"arn:aws:s3:::"`), "Policy has invalid resource", "Statement[0].Resource"},
		{Bucket, bucketStatement(get + `,"Resource":"arn:aws:s3:::b/${aws:username"`), "a policy variable has no end: ${aws:username", "Statement[0].Resource"},
		{Bucket, bucketStatement(get + `,"Resource":"arn:aws:s3:::b/${aws:nobody}"`), "unknown policy variable: ${aws:nobody}", "Statement[0].Resource"},
		{Bucket, bucketStatement(get + `,"Resource":"arn:aws:s3:::b/${aws:username, x}"`), "the default of a policy variable is not in single quotes: ${aws:username, x}", "Statement[0].Resource"},
		{Bucket, bucketStatement(get + `,"Resource":"arn:aws:s3:::b"`), "Action does not apply to any resource(s) in statement", "Statement[0].Resource"},
		{Bucket, bucketStatement(who + `,"Action":["s3:GetObject","s3:ListBucket"],"Resource":"arn:aws:s3:::b/*"`), "Action does not apply to any resource(s) in statement", "Statement[0].Resource"},
		{Bucket, bucketStatement(who + `,"Action":"s3:ListAllMyBuckets","Resource":"arn:aws:s3:::b"`), "Action does not apply to any resource(s) in statement", "Statement[0].Resource"},
		{Bucket, `{"Statement":[{"Sid":"a",` + whole + `},{"Sid":"a",` + whole + `}]}`, "Statement IDs (SID) in a single policy must be unique.", "Statement[1].Sid"},
		{Bucket, condition(`[]`), "Invalid policy syntax.", "Statement[0].Condition"},
		{Bucket, condition(`{"Bool":{}}`), "Invalid policy syntax.", "Statement[0].Condition.Bool"},
		{Bucket, condition(`{"Bool":{"aws:SecureTransport":[]}}`), "Invalid policy syntax.", "Statement[0].Condition.Bool.aws:SecureTransport"},
		{Bucket, condition(`{"StringLooksLike":{"aws:UserAgent":"x"}}`), "Invalid Condition type : StringLooksLike", "Statement[0].Condition.StringLooksLike"},
		{Bucket, condition(`{"NullIfExists":{"aws:UserAgent":"true"}}`), "Invalid Condition type : NullIfExists", "Statement[0].Condition.NullIfExists"},
		{Bucket, condition(`{"ForAllValues:Null":{"aws:UserAgent":"true"}}`), "Invalid Condition type : ForAllValues:Null", "Statement[0].Condition.ForAllValues:Null"},
		{Bucket, condition(`{"StringEquals":{"aws:Nothing":"x"}}`), "Policy has an invalid condition key", "Statement[0].Condition.StringEquals.aws:Nothing"},
		{Bucket, condition(`{"StringEquals":{"s3:ExistingObjectTag/":"x"}}`), "Policy has an invalid condition key", "Statement[0].Condition.StringEquals.s3:ExistingObjectTag/"},
		{Bucket, condition(`{"StringEquals":{"s3:prefix":"x"}}`), "Conditions do not apply to combination of actions and resources in statement", "Statement[0].Condition.StringEquals.s3:prefix"},
		{Bucket, condition(`{"IpAddress":{"aws:SourceIp":"10.0.0.256"}}`), `Invalid value for the condition's operator: "10.0.0.256"`, "Statement[0].Condition.IpAddress.aws:SourceIp"},
		{Bucket, condition(`{"NumericEquals":{"s3:signatureAge":["1","0x10"]}}`), `Invalid value for the condition's operator: "0x10"`, "Statement[0].Condition.NumericEquals.s3:signatureAge[1]"},
		{Bucket, condition(`{"DateLessThan":{"aws:CurrentTime":"2026-13-01"}}`), `Invalid value for the condition's operator: "2026-13-01"`, "Statement[0].Condition.DateLessThan.aws:CurrentTime"},
		{Bucket, condition(`{"Bool":{"aws:SecureTransport":"yes"}}`), `Invalid value for the condition's operator: "yes"`, "Statement[0].Condition.Bool.aws:SecureTransport"},
		{Bucket, condition(`{"ArnLike":{"aws:PrincipalArn":"user/x"}}`), `Invalid value for the condition's operator: "user/x"`, "Statement[0].Condition.ArnLike.aws:PrincipalArn"},
		{Bucket, condition(`{"BinaryEquals":{"aws:Referer":"%%"}}`), `Invalid value for the condition's operator: "%%"`, "Statement[0].Condition.BinaryEquals.aws:Referer"},
		{Identity, bucketStatement(whole), "Policy document should not specify a principal.", "Statement[0].Principal"},
		{Session, bucketStatement(whole), "Policy document should not specify a principal.", "Statement[0].Principal"},
		{Trust, bucketStatement(`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"`), "Has prohibited field Resource", "Statement[0].Resource"},
	}
}

// What is no policy is refused in S3's words, with the place.
func TestRefused(t *testing.T) {
	for _, c := range refusals() {
		_, err := Parse([]byte(c.text), c.kind)
		var refused *Error
		if !errors.As(err, &refused) || refused.Message != c.message || refused.Place != c.place {
			t.Errorf("%s\n got %v\nwant %s at %s", c.text, err, c.message, c.place)
		}
	}
	// Control: what the rows are made of is a policy.
	must(t, Bucket, bucketStatement(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`))
	must(t, Trust, bucketStatement(`"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"`))
	must(t, Identity, bucketStatement(`"Effect":"Allow","Action":["ec2:Run*","s3:*"],"Resource":["arn:aws:ec2:eu-west-1:1:x","*"],"Condition":{"StringEquals":{"ec2:Region":"x"}}`))
}

func must(t testing.TB, kind Kind, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text), kind)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

// A policy may have as many bytes as the documentation says, spaces outside of
// strings not counted, and not one more.
func TestLimits(t *testing.T) {
	for kind, limit := range map[Kind]int{Bucket: 20480, Identity: 6144, Trust: 2048, Session: 2048} {
		elements := map[Kind]string{
			Bucket:   `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/`,
			Identity: `"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/`,
			Session:  `"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/`,
			Trust:    `"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Sid":"`,
		}[kind]
		begin, end := `{"Statement":{`+elements, `\" "}}`
		text := begin + strings.Repeat("x", limit-len(begin)-len(end)) + end
		must(t, kind, text)
		must(t, kind, "\n\t "+strings.Replace(text, `"Statement":`, `"Statement" : `, 1)+" \n")
		want := fmt.Sprintf("Normalized policy document exceeds the maximum allowed size of %d bytes", limit)
		if _, err := Parse([]byte(strings.Replace(text, "xx", "xxx", 1)), kind); err == nil || err.Error() != want {
			t.Errorf("%d bytes and one: %v", limit, err)
		}
	}
	if _, err := Parse([]byte("{"+strings.Repeat(" ", maxTextBytes)+"}"), Bucket); err == nil || !strings.HasPrefix(err.Error(), "Normalized") {
		t.Errorf("spaces without end: %v", err)
	}
}

func user() *Who {
	return &Who{Type: UserPrincipal, Account: testAccount, ID: "canon", ARN: "arn:aws:iam::" + testAccount + ":user/david", UserID: "AIDA1", User: "David"}
}

func account() *Who {
	return &Who{Type: AccountPrincipal, Account: testAccount, ID: "canon", ARN: "arn:aws:iam::" + testAccount + ":root", UserID: testAccount}
}

func session() *Who {
	return &Who{Type: RolePrincipal, Account: testAccount, ID: "canon", ARN: "arn:aws:sts::" + testAccount + ":assumed-role/r/s",
		Role: "arn:aws:iam::" + testAccount + ":role/r", UserID: "AROA1:s"}
}

// Who is meant by a principal, as the documentation's forms have it.
func TestPrincipals(t *testing.T) {
	const root = `{"AWS":"arn:aws:iam::123456789012:root"}`
	for _, c := range []struct {
		name, principal string
		who             *Who
		allow, deny     Effect
		notDeny         Effect // of a Deny with NotPrincipal
	}{
		{"everybody, anonymous", `"*"`, nil, Allow, Deny, None},
		{"AWS everybody, anonymous", `{"AWS":"*"}`, nil, Allow, Deny, None},
		{"account, anonymous", `{"AWS":"123456789012"}`, nil, None, None, Deny},
		{"account by number, itself", `{"AWS":"123456789012"}`, account(), Allow, Deny, None},
		{"account by number, its user", `{"AWS":"123456789012"}`, user(), AllowAccount, Deny, None},
		{"account by ARN, itself", root, account(), Allow, Deny, None},
		{"account by ARN, its user", root, user(), AllowAccount, Deny, None},
		{"account by ARN, a session in it", root, session(), AllowAccount, Deny, None},
		{"account by canonical id, its user", `{"CanonicalUser":"canon"}`, user(), AllowAccount, Deny, None},
		{"account by bare id, itself", `{"AWS":"canon"}`, account(), Allow, Deny, None},
		{"another account", `{"AWS":["210987654321","arn:aws:iam::210987654321:user/david"]}`, user(), None, None, Deny},
		{"user by ARN", `{"AWS":["210987654321","arn:aws:iam::123456789012:user/david"]}`, user(), Allow, Deny, None},
		{"user by ARN, its account", `{"AWS":"arn:aws:iam::123456789012:user/david"}`, account(), None, None, Deny},
		{"user by id", `{"AWS":"AIDA1"}`, user(), Allow, Deny, None},
		{"role by ARN, a session of it", `{"AWS":"arn:aws:iam::123456789012:role/r"}`, session(), Allow, Deny, None},
		{"session by ARN", `{"AWS":"arn:aws:sts::123456789012:assumed-role/r/s"}`, session(), Allow, Deny, None},
		{"another session", `{"AWS":"arn:aws:sts::123456789012:assumed-role/r/t"}`, session(), None, None, Deny},
		{"a service", `{"Service":"logging.s3.amazonaws.com"}`, account(), None, None, Deny},
	} {
		rest := `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
		q := &Question{Action: GetObject, Bucket: "b", Key: "k", Principal: c.who}
		for begin, want := range map[string]Effect{
			`"Effect":"Allow","Principal":`: c.allow, `"Effect":"Deny","Principal":`: c.deny, `"Effect":"Deny","NotPrincipal":`: c.notDeny,
		} {
			if got, _ := must(t, Bucket, bucketStatement(begin+c.principal+rest)).Decide(q); got != want {
				t.Errorf("%s: %s%s: %v, want %v", c.name, begin, c.principal, got, want)
			}
		}
	}
}

// Actions and resources, named and excepted.
func TestActionsAndResources(t *testing.T) {
	for _, c := range []struct {
		elements    string
		action      Action
		bucket, key string
		want        bool
	}{
		{`"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`, GetObject, "b", "k", true},
		{`"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`, GetObject, "b", "a/b/c", true},
		{`"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`, GetObject, "bb", "k", false},
		{`"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`, GetObjectVersion, "b", "k", false},
		{`"Action":"S3:getobject","Resource":"*"`, GetObject, "b", "k", true},
		{`"Action":"s3:GetObject*","Resource":"*"`, GetObjectACL, "b", "k", true},
		{`"Action":"s3:*Object","Resource":"*"`, PutObject, "b", "k", true},
		{`"Action":"s3:?etObject","Resource":"*"`, GetObject, "b", "k", true},
		{`"Action":"s3:?etObject","Resource":"*"`, PutObject, "b", "k", false},
		{`"Action":"s3:List*","Resource":"*"`, OtherAction, "b", "", false},
		{`"Action":"s3:*","Resource":"*"`, OtherAction, "b", "", true},
		{`"Action":"*","Resource":"*"`, PutBucketPolicy, "b", "", true},
		{`"Action":"ec2:*","Resource":"*"`, GetObject, "b", "k", false},
		{`"NotAction":"s3:DeleteBucket","Resource":"*"`, GetObject, "b", "k", true},
		{`"NotAction":"s3:DeleteBucket","Resource":"*"`, DeleteBucket, "b", "", false},
		{`"NotAction":["s3:Get*","s3:List*"],"Resource":"*"`, OtherAction, "b", "", true},
		{`"Action":"s3:ListBucket","Resource":"arn:aws:s3:::b"`, ListBucket, "b", "", true},
		{`"Action":"s3:ListBucket","Resource":"arn:aws:s3:::b/*"`, ListBucket, "b", "", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b*"`, GetObject, "b", "k", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/a?c"`, GetObject, "b", "aéc", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/a??c"`, GetObject, "b", "aéc", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::?/K"`, GetObject, "b", "k", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b*k"`, GetObject, "b", "x/k", true},
		{`"Action":"s3:*","Resource":"arn:aws:sqs:::*"`, GetObject, "b", "k", false},
		{`"Action":"s3:*","NotResource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`, GetObject, "b", "k", false},
		{`"Action":"s3:*","NotResource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`, GetObject, "c", "k", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}/*"`, GetObject, "b", "David/k", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}/*"`, GetObject, "b", "david/k", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team, 'all'}/*"`, GetObject, "b", "all/k", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}*"`, GetObject, "b", "k", false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/${*}${?}${$}"`, GetObject, "b", "*?$", true},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::b/${*}"`, GetObject, "b", "k", false},
	} {
		p := must(t, Identity, bucketStatement(`"Effect":"Allow",`+c.elements))
		if got, _ := p.Decide(&Question{Action: c.action, Bucket: c.bucket, Key: c.key, Principal: user()}); (got == Allow) != c.want {
			t.Errorf("%s: %s of %s/%s: %v", c.elements, c.action, c.bucket, c.key, got)
		}
	}
	// Without the newer version, "${…}" is no variable.
	p := must(t, Identity, `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}"}}`)
	for key, want := range map[string]Effect{"David": None, "${aws:username}": Allow} {
		if got, _ := p.Decide(&Question{Action: GetObject, Bucket: "b", Key: key, Principal: user()}); got != want {
			t.Errorf("an old policy and %s: %v", key, got)
		}
	}
}

// A value of a variable that looks like a wildcard is none.
func TestVariableIsNoWildcard(t *testing.T) {
	p := must(t, Identity, bucketStatement(`"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${s3:prefix}"`))
	q := &Question{Action: GetObject, Bucket: "b", Key: "secret", Conditions: facts{"s3:prefix": {"*"}}}
	if got, _ := p.Decide(q); got != None {
		t.Errorf("%v", got)
	}
	if q.Key = "*"; !p.Names(KeyPrefix) || p.Names(KeyUsername) {
		t.Error("the keys that it names")
	}
	if got, _ := p.Decide(q); got != Allow {
		t.Errorf("control: %v", got)
	}
}

// Deny counts before Allow, wherever it stands, and the statement that decided is told.
func TestDenyFirst(t *testing.T) {
	const (
		allow = `{"Sid":"yes","Effect":"Allow","Action":"s3:*","Resource":"*"}`
		deny  = `{"Sid":"no","Effect":"Deny","Action":"s3:Put*","Resource":"arn:aws:s3:::b/secret*"}`
	)
	for i, text := range []string{allow + "," + deny, deny + "," + allow} {
		p := must(t, Identity, `{"Version":"2012-10-17","Id":"x","Statement":[`+text+`]}`)
		for key, want := range map[string]struct {
			effect Effect
			sid    string
			index  int
		}{"secret/1": {Deny, "no", 1 - i}, "open/1": {Allow, "yes", i}} {
			got, by := p.Decide(&Question{Action: PutObject, Bucket: "b", Key: key})
			if got != want.effect || by.Sid != want.sid || by.Index != want.index {
				t.Errorf("%s: %s: %v by %+v", text, key, got, by)
			}
		}
	}
	p := must(t, Identity, `{"Statement":`+deny+`}`)
	if got, by := p.Decide(&Question{Action: GetObject, Bucket: "b", Key: "secret"}); got != None || by != nil {
		t.Errorf("nothing is said of it: %v by %+v", got, by)
	}
}

// Each operator, with what a request has.
func TestOperators(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:user/david"
	for _, c := range []struct {
		operator, key, values string
		request               []string // of the key
		want                  bool
	}{
		{"StringEquals", "aws:UserAgent", `"a"`, []string{"a"}, true},
		{"StringEquals", "aws:UserAgent", `"a"`, []string{"A"}, false},
		{"StringEquals", "aws:UserAgent", `["x","a"]`, []string{"a"}, true},
		{"StringEquals", "AWS:useragent", `"a*"`, []string{"ab"}, false},
		{"StringEquals", "aws:UserAgent", `"a"`, nil, false},
		{"StringEqualsIfExists", "aws:UserAgent", `"a"`, nil, true},
		{"StringEqualsIfExists", "aws:UserAgent", `"a"`, []string{"b"}, false},
		{"StringEquals", "aws:UserAgent", `"${aws:username}"`, []string{"David"}, true},
		{"StringNotEquals", "aws:UserAgent", `["a","b"]`, []string{"c"}, true},
		{"StringNotEquals", "aws:UserAgent", `["a","b"]`, []string{"b"}, false},
		{"StringNotEquals", "aws:UserAgent", `"a"`, nil, true},
		{"StringEqualsIgnoreCase", "aws:UserAgent", `"éA"`, []string{"Éa"}, true},
		{"StringEqualsIgnoreCase", "aws:UserAgent", `"k"`, []string{"\u212a"}, true},
		{"StringNotEqualsIgnoreCase", "aws:UserAgent", `"A"`, []string{"a"}, false},
		{"StringLike", "aws:UserAgent", `"a*c?"`, []string{"abbcd"}, true},
		{"StringLike", "aws:UserAgent", `"a*c?"`, []string{"abbc"}, false},
		{"StringNotLike", "aws:UserAgent", `"a*"`, []string{"ba"}, true},
		{"NumericEquals", "s3:signatureAge", `10`, []string{"10.0"}, true},
		{"NumericNotEquals", "s3:signatureAge", `"10"`, []string{"10"}, false},
		{"NumericLessThan", "s3:signatureAge", `"10"`, []string{"9"}, true},
		{"NumericLessThan", "s3:signatureAge", `"10"`, []string{"10"}, false},
		{"NumericLessThanEquals", "s3:signatureAge", `"10"`, []string{"10"}, true},
		{"NumericGreaterThan", "s3:signatureAge", `"10"`, []string{"9"}, false},
		{"NumericGreaterThanEquals", "s3:signatureAge", `"10"`, []string{"1e1"}, false},
		{"NumericGreaterThanEquals", "s3:signatureAge", `"10"`, []string{"11"}, true},
		{"DateEquals", "aws:CurrentTime", `"2026-01-01"`, []string{"2026-01-01T00:00:00Z"}, true},
		{"DateEquals", "aws:EpochTime", `"2026-01-01T00:00Z"`, []string{"1767225600"}, true},
		{"DateNotEquals", "aws:CurrentTime", `"2026"`, []string{"2026-01-01T00:00:00Z"}, false},
		{"DateLessThan", "aws:CurrentTime", `1767225601`, []string{"2026-01-01T00:00:00Z"}, true},
		{"DateLessThanEquals", "aws:CurrentTime", `"2026-01-01T01:00:00+01:00"`, []string{"2026-01-01T00:00:00Z"}, true},
		{"DateGreaterThan", "aws:CurrentTime", `"2026-01"`, []string{"2026-01-01T00:00:00Z"}, false},
		{"DateGreaterThanEquals", "aws:CurrentTime", `"2026-01-01T00:00+01:00"`, []string{"2026-01-01T00:00:00Z"}, true},
		{"Bool", "aws:SecureTransport", `true`, []string{"true"}, true},
		{"Bool", "aws:SecureTransport", `"false"`, []string{"true"}, false},
		{"Bool", "aws:MultiFactorAuthPresent", `"false"`, nil, false},
		{"BoolIfExists", "aws:MultiFactorAuthPresent", `"false"`, nil, true},
		{"BinaryEquals", "aws:Referer", `"QmluYXJ5"`, []string{"Binary"}, true},
		{"BinaryEquals", "aws:Referer", `"QmluYXJ5"`, []string{"binary"}, false},
		{"IpAddress", "aws:SourceIp", `"203.0.113.0/24"`, []string{"203.0.113.7"}, true},
		{"IpAddress", "aws:SourceIp", `"203.0.113.9/24"`, []string{"203.0.113.7"}, true},
		{"IpAddress", "aws:SourceIp", `["203.0.113.0/24","2001:DB8:1234:5678::/64"]`, []string{"2001:db8:1234:5678::1"}, true},
		{"IpAddress", "aws:SourceIp", `"203.0.113.7"`, []string{"::ffff:203.0.113.7"}, true},
		{"IpAddress", "aws:SourceIp", `"203.0.113.7"`, []string{"203.0.113.8"}, false},
		{"IpAddress", "aws:SourceIp", `"0.0.0.0/0"`, []string{"unknown"}, false},
		{"NotIpAddress", "aws:SourceIp", `"203.0.113.0/24"`, []string{"203.0.114.7"}, true},
		{"NotIpAddress", "aws:SourceIp", `"203.0.113.0/24"`, []string{"203.0.113.7"}, false},
		{"ArnEquals", "aws:PrincipalArn", `"` + arn + `"`, []string{arn}, true},
		{"ArnEquals", "aws:PrincipalArn", `"arn:aws:iam::*:user/da*"`, []string{arn}, true},
		{"ArnLike", "aws:PrincipalArn", `"arn:aws:iam:*:*:user/david"`, []string{arn}, true},
		{"ArnLike", "aws:PrincipalArn", `"arn:aws:iam::*:*:d*"`, []string{arn}, false},
		{"ArnLike", "aws:PrincipalArn", `"arn:aws:iam::123456789012:user/${aws:username}"`, []string{arn}, false},
		{"ArnNotEquals", "aws:PrincipalArn", `"arn:aws:iam::123456789012:*"`, []string{arn}, false},
		{"ArnNotLike", "aws:SourceArn", `"arn:aws:iam::123456789012:*"`, nil, true},
		{"Null", "aws:UserAgent", `"true"`, nil, true},
		{"Null", "aws:UserAgent", `true`, []string{"a"}, false},
		{"Null", "aws:UserAgent", `"false"`, []string{"a"}, true},
		{"Null", "aws:UserAgent", `"false"`, nil, false},
		{"ForAllValues:StringEquals", "aws:TagKeys", `["a","b"]`, []string{"a"}, true},
		{"ForAllValues:StringEquals", "aws:TagKeys", `["a","b"]`, []string{"a", "c"}, false},
		{"ForAllValues:StringEquals", "aws:TagKeys", `["a","b"]`, nil, true},
		{"ForAllValues:StringNotEquals", "aws:TagKeys", `["a","b"]`, []string{"c", "d"}, true},
		{"ForAllValues:StringNotEquals", "aws:TagKeys", `["a","b"]`, []string{"c", "a"}, false},
		{"ForAnyValue:StringEquals", "aws:TagKeys", `["a","b"]`, []string{"c", "b"}, true},
		{"ForAnyValue:StringEquals", "aws:TagKeys", `["a","b"]`, []string{"c"}, false},
		{"ForAnyValue:StringEquals", "aws:TagKeys", `["a","b"]`, nil, false},
		{"ForAnyValue:StringEqualsIfExists", "aws:TagKeys", `["a","b"]`, nil, true},
		{"ForAnyValue:StringNotEquals", "aws:TagKeys", `["a","b"]`, []string{"a", "c"}, true},
		{"ForAnyValue:StringNotEquals", "aws:TagKeys", `["a","b"]`, []string{"a", "b"}, false},
		{"ForAnyValue:StringNotEquals", "aws:TagKeys", `["a","b"]`, nil, false},
		{"ForAllValues:StringLike", "aws:TagKeys", `"x*"`, []string{"xa", "xb"}, true},
	} {
		p := must(t, Identity, bucketStatement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"`+c.operator+`":{"`+c.key+`":`+c.values+`}}`))
		q := &Question{Action: GetObject, Bucket: "b", Key: "k", Principal: user(), Conditions: facts{strings.ToLower(c.key): c.request}}
		if got, _ := p.Decide(q); (got == Allow) != c.want {
			t.Errorf("%s %s %s of %q: %v", c.operator, c.key, c.values, c.request, got)
		}
	}
	// Every condition has to hold, under each operator and key.
	p := must(t, Identity, bucketStatement(`"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:UserAgent":"a","aws:Referer":"r"},"Bool":{"aws:SecureTransport":"true"}}`))
	whole := facts{"aws:useragent": {"a"}, "aws:referer": {"r"}, "aws:securetransport": {"true"}}
	q := &Question{Action: GetObject, Bucket: "b", Key: "k", Conditions: whole}
	if got, _ := p.Decide(q); got != Allow {
		t.Errorf("all of them: %v", got)
	}
	for key, values := range whole {
		delete(whole, key)
		if got, _ := p.Decide(q); got != None {
			t.Errorf("without %s: %v", key, got)
		}
		whole[key] = values
	}
}

// Which bucket policies are public, as the page on blocking public access says.
func TestPublic(t *testing.T) {
	for _, c := range []struct {
		elements string
		want     bool
	}{
		{`"Effect":"Allow","Principal":"*"`, true},
		{`"Effect":"Allow","Principal":{"AWS":"*"}`, true},
		{`"Effect":"Deny","Principal":"*"`, false},
		{`"Effect":"Allow","Principal":{"AWS":"123456789012"}`, false},
		{`"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"}`, false},
		{`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, false},
		{`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","0.0.0.0/1"]}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"2001::/16"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}`, false},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-91237329"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-1"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringNotEquals":{"aws:PrincipalAccount":"123456789012"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"123456789012"}}`, false},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"${aws:PrincipalAccount}"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/david"}}`, false},
		{`"Effect":"Allow","Principal":"*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/david"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringLike":{"aws:userid":"AROA1:*"}}`, false},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringLike":{"aws:userid":"AROA*"}}`, true},
		{`"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:UserAgent":"x"}}`, true},
	} {
		p := must(t, Bucket, bucketStatement(c.elements+`,"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`))
		if got := p.Public(); got != c.want || p.WithoutPublic().Public() {
			t.Errorf("%s: %v", c.elements, got)
		}
	}
	two := must(t, Bucket, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},
		{"Effect":"Allow","Principal":{"AWS":["123456789012","canon"]},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}]}`)
	for action, want := range map[Action]Effect{GetObject: None, PutObject: Allow} {
		if got, _ := two.WithoutPublic().Decide(&Question{Action: action, Bucket: "b", Key: "k", Principal: account()}); got != want {
			t.Errorf("without what is public, %s: %v", action, got)
		}
	}
	if got := two.Principals(); !slices.Equal(got, []string{"123456789012", "canon"}) {
		t.Errorf("principals %v", got)
	}
}

// A bucket policy is about its bucket and nothing else.
func TestCheckBucket(t *testing.T) {
	for resource, want := range map[string]bool{
		"arn:aws:s3:::b/*": true, "arn:aws:s3:::b*": true, "arn:aws:s3:::*": true, "*": true, "arn:aws:s3:::?/x": true,
		"arn:aws:s3:::other/*": false, "arn:aws:s3:::bb/*": false, "arn:aws:s3:::b?/b/*": false, "arn:aws:s3:::o*/b": false,
	} {
		p := must(t, Bucket, bucketStatement(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"`+resource+`"`))
		if err := p.CheckBucket("b"); (err == nil) != want {
			t.Errorf("%s: %v", resource, err)
		}
	}
}

// Every action has a name of its own, and is found by it.
func TestActionNames(t *testing.T) {
	for a := OtherAction + 1; a < actionCount; a++ {
		if name := a.String(); name == "" || ActionNamed(strings.ToUpper(name)) != a {
			t.Errorf("%d: %q", a, name)
		}
	}
	if ActionNamed("s3:Nothing") != OtherAction || ActionNamed("") != OtherAction {
		t.Error("a name of none")
	}
}

// tenStatements is a bucket policy as large ones are.
func tenStatements() string {
	var statements []string
	for i := range 9 {
		statements = append(statements, fmt.Sprintf(`{"Sid":"s%d","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:user/u%d","arn:aws:iam::123456789012:user/david"]},
			"Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::photos/team-%d/*/${aws:username}/*",
			"Condition":{"IpAddress":{"aws:SourceIp":"10.%d.0.0/16"}}}`, i, i, i, i))
	}
	statements = append(statements, `{"Sid":"tls","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::photos","arn:aws:s3:::photos/*"],
		"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`)
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// request is a Values without a map, as the edge's is.
type request struct{ address, secure string }

func (r *request) Count(key *Key) int {
	if key.ID == KeySourceIP || key.ID == KeySecureTransport {
		return 1
	}
	return 0
}

func (r *request) Value(key *Key, _ int) string {
	if key.ID == KeySourceIP {
		return r.address
	}
	return r.secure
}

// Decide allocates nothing, whatever it compares.
func TestDecideAllocatesNothing(t *testing.T) {
	p := must(t, Bucket, tenStatements())
	q := &Question{Action: GetObject, Bucket: "photos", Key: "team-8/2026/David/cat.jpg", Principal: user(), Conditions: &request{"10.8.1.2", "true"}}
	if got, by := p.Decide(q); got != Allow || by.Sid != "s8" {
		t.Fatalf("%v by %+v", got, by)
	}
	every := must(t, Identity, bucketStatement(`"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:username":"D*d"},
		"StringEqualsIgnoreCase":{"aws:username":"dAVID"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/d*"},"Bool":{"aws:SecureTransport":"true"},
		"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"Null":{"aws:Referer":"true"}}`))
	if got, _ := every.Decide(q); got != Allow {
		t.Fatalf("%v", got)
	}
	if n := testing.AllocsPerRun(100, func() { p.Decide(q); every.Decide(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Ten statements that all are about the action, the ninth allowing: the goal is a microsecond.
func BenchmarkDecide(b *testing.B) {
	p := must(b, Bucket, tenStatements())
	q := &Question{Action: GetObject, Bucket: "photos", Key: "team-8/2026/David/cat.jpg", Principal: user(), Conditions: &request{"10.8.1.2", "true"}}
	b.ReportAllocs()
	for b.Loop() {
		if got, _ := p.Decide(q); got != Allow {
			b.Fatal(got)
		}
	}
}
