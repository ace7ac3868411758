// Package objects says what an object is: keys, buckets and their properties,
// metadata, generations, conditions and ranges. Pure values and functions; no
// I/O, no goroutines, nothing of the project imported but its own subpackages.
//
// Words: a bucket is a container; an object is content with metadata; a key is
// a bucket and a name in it. A generation orders writes; a payload generation
// names bytes.
//
// Start with Key, then Meta.
package objects
