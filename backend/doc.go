// Package backend is what Troupe asks of a bucket that lives elsewhere: in a store that
// speaks S3, in another cluster, behind URLs. It holds the interface and its values; a
// folder each holds what implements it, and backend/conformance is the suite that all of
// them pass.
//
// Start with Store.
package backend
