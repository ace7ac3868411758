// Package planning simulates where keys lie and what plans move, without a cluster
// and without I/O: `troupe plan simulate`. It uses the placement and the maps that
// nodes use, so that what it says of balance, of moved keys and of the size of maps
// holds for them.
//
// Start with simulation.go.
package planning
