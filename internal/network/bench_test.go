package network

import (
	"fmt"
	"testing"
	"time"
)

// many has n instances, each with its own secondary address, and a few groups.
func many(n int) VPC {
	v := twoSubnets()
	v.Interfaces = nil
	v.Subnets[0].CIDR = prefix("10.0.0.0/18")
	v.Subnets = v.Subnets[:1]
	v.SecurityGroups = append(v.SecurityGroups, everyRule().SecurityGroups...)
	v.PrefixLists = everyRule().PrefixLists
	for i := range n {
		e := eni(fmt.Sprintf("eni-%017x", i), "subnet-a", fmt.Sprintf("i-%d", i), "eth0",
			fmt.Sprintf("10.0.%d.%d", 1+i/200, 10+i%200), "sg-open", "sg-nodes")
		e.Addresses = append(e.Addresses, addr(fmt.Sprintf("10.0.%d.%d", 31+i/200, 10+i%200)))
		v.Interfaces = append(v.Interfaces, e)
	}
	return v
}

func BenchmarkRepeat(b *testing.B) {
	h := newHost(b)
	v := many(20)
	ensure(b, h, v)
	for b.Loop() {
		ensure(b, h, v)
	}
}

func BenchmarkChangeARule(b *testing.B) {
	for _, n := range []int{20, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHost(b)
			v := many(n)
			ensure(b, h, v)
			on := v.SecurityGroups[0].Ingress
			for i := 0; b.Loop(); i++ {
				v.SecurityGroups[0].Ingress = on[:i%2]
				ensure(b, h, v)
			}
		})
	}
}

// BenchmarkAddAnInterface leaves out the time to remove it again.
func BenchmarkAddAnInterface(b *testing.B) {
	for _, n := range []int{1, 20, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHost(b)
			with, without := many(n), many(n-1)
			ensure(b, h, without)
			if err := h.EnsureGuest(b.Context(), with.Interfaces[n-1].Guest); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				ensure(b, h, with)
				b.StopTimer()
				ensure(b, h, without)
				b.StartTimer()
			}
		})
	}
}

func BenchmarkMakeAndRemove(b *testing.B) {
	h := newHost(b)
	v := twoSubnets()
	for b.Loop() {
		ensure(b, h, v)
		if err := h.Purge(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// What controllers do all the time must not take long: the bounds are far above
// what was measured, and below what would be noticed.
func TestSpeed(t *testing.T) {
	h := newHost(t)
	v := many(21)
	last := v.Interfaces[20]
	v.Interfaces = v.Interfaces[:20]
	ensure(t, h, v)
	best := func(bound time.Duration, what string, once, undo func()) {
		t.Helper()
		least := time.Hour
		for try := 0; try < 5 || try < 50 && least > bound; try++ { // the machine may be busy with something else
			start := time.Now()
			once()
			least = min(least, time.Since(start))
			undo()
		}
		t.Logf("%s: %v", what, least)
		if least > bound {
			t.Errorf("%s takes %v, more than %v", what, least, bound)
		}
	}
	apply := func() { ensure(t, h, v) }
	best(5*time.Millisecond, "a repeat with 20 interfaces", apply, func() {})
	best(50*time.Millisecond, "adding one", func() {
		v.Interfaces = append(v.Interfaces, last)
		apply()
	}, func() {
		v.Interfaces = v.Interfaces[:20]
		apply()
	})
	best(200*time.Millisecond, "changing a rule", func() {
		v.SecurityGroups[0].Ingress = nil
		apply()
	}, func() {
		v.SecurityGroups[0] = open("sg-open")
		apply()
	})
}
