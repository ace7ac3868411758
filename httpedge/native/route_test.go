package native

import "testing"

// A path goes to the longest route that it is below, whole items only.
func TestRoutesFindTheLongest(t *testing.T) {
	handle := func(*Request) error { return nil }
	r := newRoutes(Route{Path: "/v1/a", Handle: handle}, Route{Path: "/v1/a/b", Handle: handle}, Route{Path: "/v1", Handle: handle})
	for path, want := range map[string][2]string{
		"/v1/a": {"/v1/a", ""}, "/v1/a/": {"/v1/a", ""}, "/v1/a/x/y": {"/v1/a", "x/y"}, "/v1/a/b/c": {"/v1/a/b", "c"},
		"/v1/ab": {"/v1", "ab"}, "/v1/a//": {"/v1/a", "/"}, "/v1/a%2Fb": {"/v1", "a%2Fb"},
	} {
		route, rest := r.find(path)
		if route == nil || route.Path != want[0] || rest != want[1] {
			t.Errorf("%s: %v, %q; want %q", path, route, rest, want)
		}
	}
	for _, path := range []string{"", "/", "/v2/a", "/v", "v1/a"} {
		if route, _ := r.find(path); route != nil {
			t.Errorf("%q goes to %s", path, route.Path)
		}
	}
	for _, bad := range [][]Route{
		{{Path: "v1", Handle: handle}}, {{Path: "/v1/", Handle: handle}}, {{Path: "/v1"}}, {{Path: "/v1", Handle: handle}, {Path: "/v1", Handle: handle}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v is taken", bad)
				}
			}()
			newRoutes(bad...)
		}()
	}
}

// Booleans come in every spelling of Go's and Python's, and nothing else is one.
func TestParseBool(t *testing.T) {
	for text, want := range map[string]bool{"1": true, "t": true, "True": true, "TRUE": true, "y": true, "yes": true, "on": true,
		"": false, "0": false, "f": false, "False": false, "n": false, "no": false, "off": false} {
		if got, err := parseBool(text); got != want || err != nil {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"2", "tru", "none", " true"} {
		if _, err := parseBool(text); err == nil {
			t.Errorf("%q is a boolean", text)
		}
	}
}
