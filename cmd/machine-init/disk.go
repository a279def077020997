package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mountDisk mounts the file system in the image at dir. The loop device goes
// with the mount, that is with the instance.
func mountDisk(image, dir string) error {
	device, err := attach(image)
	if err != nil {
		return fmt.Errorf("attaching %s: %w", image, err)
	}
	defer device.Close()
	// No barriers and a slow commit: the volume is to survive its processes and
	// an orderly end of the host, and is not worth a flush for each of
	// containerd's transactions.
	if err := unix.Mount(device.Name(), dir, "ext4", unix.MS_NOATIME, "nobarrier,commit=30,discard"); err != nil {
		return fmt.Errorf("mounting %s: %w", image, err)
	}
	return nil
}

// attach returns a loop device with the image behind it, which is released
// when it is not open nor mounted any more.
func attach(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("finding a free loop device: %w", err)
		}
		device, err := openLoop(n)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{Fd: uint32(backing.Fd()),
			// Not LO_FLAGS_DIRECT_IO: with it each of the file system's synchronous
			// writes would wait for the host's disk, seconds in all on a busy one.
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}})
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // another instance was quicker
			return nil, fmt.Errorf("configuring %s: %w", device.Name(), err)
		}
	}
}

// openLoop opens device n, and makes its node where no udev or devtmpfs does.
func openLoop(n int) (*os.File, error) {
	name := fmt.Sprintf("/dev/loop%d", n)
	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return device, err
	}
	if err := unix.Mknod(name, unix.S_IFBLK|0o660, int(unix.Mkdev(7, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}
