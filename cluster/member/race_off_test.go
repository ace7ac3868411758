//go:build !race

package member_test

// raceFactor divides nothing without the race detector.
const raceFactor = 1
