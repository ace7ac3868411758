//go:build race

package member_test

// raceFactor divides what is repeated under the race detector.
const raceFactor = 20
