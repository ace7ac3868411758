// Package conformance is what every backend.Store has to do, as tests. A backend's own
// tests call Run with a Fixture; what its Limits rule out, or its Fixture cannot bring
// about, is left out and returned by name, so that a test says exactly what is not covered.
//
// Start with Run.
package conformance
