package httpedge

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestVirtual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour) })
}
