//go:build !race

package node

// raceDetector says that the race detector is at work: everything takes longer.
const raceDetector = false
