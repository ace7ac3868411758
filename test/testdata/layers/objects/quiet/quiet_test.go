// Package quiet is documented only in its test, which does not count.
package quiet
