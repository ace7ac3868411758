package native

// absentRoutes answer for the parts of AIStore's API that have paths of their own
// and are not here: by name, so that who asks learns that it is no mistake of the
// path. Paths that only AIStore's nodes use among themselves are not among them.
func absentRoutes() []Route {
	var absent []Route
	for _, part := range []struct{ path, what string }{
		{"/v1/download", "downloading (/v1/download)"},
		{"/v1/sort", "dsort (/v1/sort)"},
		{"/v1/etl", "ETL (/v1/etl)"},
		{"/v1/users", "AuthN (/v1/users)"},
		{"/v1/roles", "AuthN (/v1/roles)"},
		{"/v1/clusters", "AuthN (/v1/clusters)"},
		{"/v1/tokens", "revoking tokens (/v1/tokens)"},
		{"/ais", "the easy URL (/ais)"},
		{"/gs", "the easy URL (/gs)"},
		{"/az", "the easy URL (/az)"},
	} {
		refuse := func(*Request) error { return notImplemented(part.what) }
		absent = append(absent, Route{Path: part.path, Guard: Data, Handle: refuse, Expect: refuse})
	}
	return absent
}
