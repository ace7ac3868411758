package policy

import "strings"

// resource is a pattern of buckets and objects. Immutable.
type resource struct {
	pattern pattern
	bucket  pattern // what comes before the first "/"
	never   bool    // of another service
	buckets bool    // may be a bucket
	objects bool    // may be an object
}

// compileResource reads "arn:aws:s3:::bucket/prefix*" or "*".
func compileResource(text string, strict, variables bool) (resource, string) {
	rest := text
	if text != "*" {
		words := splitARN(text)
		if len(words) != 6 || words[0] != "arn" {
			return resource{}, "Policy has invalid resource"
		}
		s3 := words[2] == "s3" || words[2] == "*"
		empty := func(s string) bool { return s == "" || s == "*" }
		partition := words[1] == "*" || strings.HasPrefix(words[1], "aws")
		if !s3 || !partition || !empty(words[3]) || !empty(words[4]) || words[5] == "" {
			if strict {
				return resource{}, "Policy has invalid resource"
			}
			return resource{never: true}, ""
		}
		rest = words[5]
	}
	o := patternOptions{wildcards: true, variables: variables}
	p, wrong := compilePattern(rest, o)
	if wrong != "" {
		return resource{}, wrong
	}
	r := resource{pattern: p}
	bucket, _, slash := strings.Cut(rest, "/")
	if inVariable(rest, len(bucket)) { // the "/" is in the name of a variable
		bucket, slash = rest, false
	}
	if r.bucket, wrong = compilePattern(bucket, o); wrong != "" {
		return resource{}, wrong
	}
	r.buckets = !slash
	r.objects = slash
	for _, s := range r.bucket.segments {
		if s.kind != literal && s.kind != any1 {
			r.objects = true
			if s.kind == anyRun && slash {
				r.bucket.segments = append(r.bucket.segments, segment{kind: anyRun})
				break
			}
		}
	}
	return r, ""
}

// inVariable reports whether a place of a text is between "${" and "}".
func inVariable(text string, at int) bool {
	open := strings.LastIndex(text[:at], "${")
	return open >= 0 && !strings.Contains(text[open:at], "}")
}

// splitARN splits a text at its first five colons that are in no variable.
func splitARN(text string) []string {
	var words []string
	begin := 0
	for i := 0; i < len(text) && len(words) < 5; i++ {
		if text[i] == ':' && !inVariable(text, i) {
			words = append(words, text[begin:i])
			begin = i + 1
		}
	}
	return append(words, text[begin:])
}

// match reports whether it is what a question is about.
func (r *resource) match(q *Question) bool {
	if r.never {
		return false
	}
	return r.pattern.match(&subject{first: q.Bucket, second: q.Key, joined: q.Key != ""}, q)
}
