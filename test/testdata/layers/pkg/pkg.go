// Package pkg lies in a folder that is on no floor.
package pkg // want "folder"
