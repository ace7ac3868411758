//go:build !race

package control_test

// raceDetector says that the race detector is at work: everything takes longer.
const raceDetector = false
