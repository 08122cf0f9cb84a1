/* test_hw_smbus.c - the SMBus host controllers of both boards, whose buses are empty.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/pci/board.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    RAM = 16 << 20,
    PORT = 0x700,
    STATUS = PORT,
    CONTROL = PORT + 2,
    ADDRESS = PORT + 4,
    DATA0 = PORT + 5,
    BLOCK = PORT + 7,
    DEVICE_ERROR = 0x04,
    FAILED = 0x10,
    IN_USE = 0x40,
    START = 0x40,
    ICH9 = PCI_DEVFN(0x1f, 3),
    PIIX4 = PCI_DEVFN(1, 3),
    PIIX4_ELSEWHERE = 0xb100,
};

static FakeMachine *
fake_board(const Board *board)
{
    FakeMachine *fake = fake_machine_new(RAM, NULL);
    g_autoptr(GError) err = NULL;

    if (!board_create(fake->machine, board, &err))
        fail_msg("%s", err->message);
    machine_reset(fake->machine);
    return fake;
}

static void
try_registers(FakeMachine *fake)
{
    fake_out(fake, ADDRESS, 1, 0x50 << 1 | 1);
    fake_out(fake, DATA0, 1, 0x12);
    assert_int_equal(fake_in(fake, ADDRESS, 1), 0xa1);
    assert_int_equal(fake_in(fake, DATA0, 1), 0x12);
    /* nobody answers */
    fake_out(fake, CONTROL, 1, START | 2 << 2);
    assert_int_equal(fake_in(fake, CONTROL, 1), 2 << 2);
    assert_int_equal(fake_in(fake, STATUS, 1) & ~IN_USE, DEVICE_ERROR);
    fake_out(fake, STATUS, 1, 0xff);
    assert_int_equal(fake_in(fake, STATUS, 1), 0);
    fake_out(fake, CONTROL, 1, 2);
    assert_int_equal(fake_in(fake, STATUS, 1) & ~IN_USE, FAILED);
    fake_out(fake, CONTROL, 1, 0);
    fake_out(fake, STATUS, 1, 0xff);
    /* the block: 32 bytes, and round again */
    for (unsigned i = 0; i < 40; i++)
        fake_out(fake, BLOCK, 1, i);
    fake_in(fake, CONTROL, 1);
    assert_int_equal(fake_in(fake, BLOCK, 1), 32);
    for (unsigned i = 1; i < 8; i++)
        fake_in(fake, BLOCK, 1);
    assert_int_equal(fake_in(fake, BLOCK, 1), 8);
}

static void
test_ich9(void **state)
{
    FakeMachine *fake = fake_board(&board_q35);
    PciRoot *root = fake->machine->pci;

    (void)state;
    assert_int_equal(pci_config_read(root, ICH9, PCI_VENDOR_ID, 4), 0x29308086);
    assert_int_equal(pci_config_read(root, ICH9, PCI_CLASS_DEVICE, 2), 0x0c05);
    pci_config_write(root, ICH9, PCI_BASE_ADDRESS_0 + 16, 4, PORT | 1);
    pci_config_write(root, ICH9, PCI_COMMAND, 2, PCI_COMMAND_IO);
    fake_out(fake, CONTROL, 1, START);
    assert_int_equal(fake_in(fake, STATUS, 1), 0);
    fake_out(fake, STATUS, 1, 0xff);
    pci_config_write(root, ICH9, 0x40, 1, 1);
    try_registers(fake);
    /* the semaphore: free, and then it is taken */
    fake_out(fake, STATUS, 1, IN_USE);
    assert_int_equal(fake_in(fake, STATUS, 1), 0);
    assert_int_equal(fake_in(fake, STATUS, 1), IN_USE);
    /* its interrupt, PIRQA of the chipset's own slots */
    fake_out(fake, CONTROL, 1, START | 1);
    assert_true(fake->gsi[16]);
    fake_out(fake, STATUS, 1, DEVICE_ERROR);
    assert_false(fake->gsi[16]);
    machine_reset(fake->machine);
    pci_config_write(root, ICH9, PCI_BASE_ADDRESS_0 + 16, 4, PORT | 1);
    pci_config_write(root, ICH9, PCI_COMMAND, 2, PCI_COMMAND_IO);
    assert_int_equal(fake_in(fake, ADDRESS, 1), 0);
    fake_machine_free(fake);
}

static void
test_piix4(void **state)
{
    FakeMachine *fake = fake_board(&board_pc);
    PciRoot *root = fake->machine->pci;

    (void)state;
    /* firmware that knows nothing of it leaves it where it is */
    assert_int_equal(pci_config_read(root, PIIX4, 0x90, 4), PORT | 1);
    try_registers(fake);
    pci_config_write(root, PIIX4, 0xd2, 1, 0);
    assert_int_equal(fake_in(fake, STATUS, 1), 0xff);
    pci_config_write(root, PIIX4, 0x90, 4, PIIX4_ELSEWHERE | 1);
    pci_config_write(root, PIIX4, 0xd2, 1, 1);
    assert_int_equal(fake_in(fake, STATUS, 1), 0xff);
    assert_int_equal(fake_in(fake, PIIX4_ELSEWHERE, 1), 0);
    machine_reset(fake->machine);
    assert_int_equal(fake_in(fake, STATUS, 1), 0);
    assert_int_equal(fake_in(fake, PIIX4_ELSEWHERE, 1), 0xff);
    fake_machine_free(fake);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ich9),
        cmocka_unit_test(test_piix4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
