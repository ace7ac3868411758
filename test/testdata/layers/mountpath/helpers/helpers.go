// Package helpers has a name that says nothing.
package helpers // want "name"
